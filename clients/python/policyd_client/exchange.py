"""What both clients do, without a socket: each exchange says what to send, and reads the reply.

An exchange is a generator. It yields the request that it needs sent, is sent the reply's bytes, and
returns its result; where a cached answer does, it yields nothing. `Client` drives it with blocking
calls, `AsyncClient` with awaited ones, so that neither knows anything of questions.
"""

from __future__ import annotations

from collections.abc import Generator, Iterable, Mapping
from hashlib import sha256
from typing import NamedTuple, TypeAlias, TypeVar

from . import messages, wire
from .cache import AnswerCache
from .explanation import Explanation
from .filtering import Filter, read_filter
from .values import (
    AccessDenied,
    Answer,
    AuthorizationFailed,
    Json,
    PartialAnswer,
    Proof,
    Question,
    Resource,
)

T = TypeVar("T")

AUTHORIZATION = "policyd.v1.AuthorizationService"
EXPLANATION = "policyd.v1.ExplanationService"
CHECK_STREAM = f"/{AUTHORIZATION}/CheckStream"
WATCH = "/grpc.health.v1.Health/Watch"
_NOT_EACH = "the daemon did not answer each item of the batch"
_STOPPED = "the daemon stopped before it served"


class Request(NamedTuple):
    """A unary call: the method's full name, and the bytes of its message."""

    method: str
    data: bytes


Exchange: TypeAlias = Generator[Request, bytes, T]


def check(question: Question, cache: AnswerCache | None) -> Exchange[Answer]:
    """Ask one question. Raises `AuthorizationFailed`."""
    message = wire.check_request(question)
    data = message.SerializeToString()
    key = b"" if cache is None else _key(message)
    kept = None if cache is None else cache.get(key)
    if kept is not None:
        return kept
    reply = yield Request(f"/{AUTHORIZATION}/Check", data)
    answer = wire.answer(wire.parsed(messages.CheckResponse, reply))
    if cache is not None:
        cache.put(key, answer)
    return answer


def _key(message: messages.CheckRequest) -> bytes:
    """Return what an answer is kept under: the whole question but `request_id`.

    It is a hash, so that the cache holds no token.
    """
    bare = messages.CheckRequest()
    bare.CopyFrom(message)
    bare.ClearField("request_id")
    return sha256(bare.SerializeToString(deterministic=True)).digest()


def required(exchange: Exchange[Answer]) -> Exchange[Answer]:
    """Ask one question whose answer must allow. Raises `AccessDenied`, `AuthorizationFailed`."""
    answer = yield from exchange
    if not answer.allowed:
        raise AccessDenied(answer)
    return answer


def batch_check(
    access_token: str,
    items: Iterable[tuple[str, Resource]],
    *,
    api: str,
    context: Mapping[str, Json],
    proof: Proof | None,
    request_id: str,
) -> Exchange[list[Answer | AuthorizationFailed]]:
    """Ask several questions about one token. Raises `AuthorizationFailed`."""
    message = wire.batch_check_request(
        access_token, items, api=api, context=context, proof=proof, request_id=request_id
    )
    reply = yield Request(f"/{AUTHORIZATION}/BatchCheck", message.SerializeToString())
    results = wire.parsed(messages.BatchCheckResponse, reply).results
    if len(results) != len(message.items):
        raise AuthorizationFailed("UNKNOWN", _NOT_EACH)
    return wire.outcomes(results)


def partial_check(question: Question, unknown: Iterable[str]) -> Exchange[PartialAnswer]:
    """Ask one question with unknown facts. Raises `AuthorizationFailed`."""
    message = wire.partial_check_request(question, unknown)
    reply = yield Request(f"/{AUTHORIZATION}/PartialCheck", message.SerializeToString())
    return wire.partial_answer(wire.parsed(messages.PartialCheckResponse, reply))


def batch_partial_check(
    access_token: str,
    items: Iterable[tuple[str, Resource]],
    unknown: Iterable[str],
    *,
    api: str,
    context: Mapping[str, Json],
    proof: Proof | None,
    request_id: str,
) -> Exchange[list[PartialAnswer | AuthorizationFailed]]:
    """Ask several questions with unknown facts about one token. Raises `AuthorizationFailed`."""
    batch = wire.batch_check_request(
        access_token, items, api=api, context=context, proof=proof, request_id=request_id
    )
    message = wire.batch_partial_check_request(batch, unknown)
    reply = yield Request(f"/{AUTHORIZATION}/BatchPartialCheck", message.SerializeToString())
    results = wire.parsed(messages.BatchPartialCheckResponse, reply).results
    if len(results) != len(message.items):
        raise AuthorizationFailed("UNKNOWN", _NOT_EACH)
    return wire.partial_outcomes(results)


def filter(  # noqa: A001 - it is named as the method is
    access_token: str,
    action: str,
    resource_type: str,
    *,
    api: str,
    context: Mapping[str, Json],
    proof: Proof | None,
    request_id: str,
) -> Exchange[Filter]:
    """Ask on which resources of a type an action is allowed. Raises `AuthorizationFailed`."""
    message = wire.filter_request(
        access_token,
        action,
        resource_type,
        api=api,
        context=context,
        proof=proof,
        request_id=request_id,
    )
    reply = yield Request(f"/{AUTHORIZATION}/Filter", message.SerializeToString())
    return read_filter(wire.parsed(messages.FilterResponse, reply))


def explain(question: Question) -> Exchange[Explanation]:
    """Ask one question, and how the decision came about. Raises `AuthorizationFailed`."""
    message = messages.ExplainRequest(request=wire.check_request(question))
    reply = yield Request(f"/{EXPLANATION}/Explain", message.SerializeToString())
    return wire.explanation(wire.parsed(messages.ExplainResponse, reply))


class Stream:
    """The order of one CheckStream: questions go out numbered, answers come back by number.

    A question that cannot be sent ends the stream: `failure` says why.
    """

    def __init__(self) -> None:
        self._sent = 0
        self._answered = 0
        self.failure: Exception | None = None

    def question(self, question: Question) -> bytes:
        """Return the bytes of the next question. Raises `QuestionInvalid`."""
        request = wire.check_request(question)
        message = messages.CheckStreamRequest(id=str(self._sent), request=request)
        self._sent += 1
        return message.SerializeToString()

    def answer(self, data: bytes) -> Answer | AuthorizationFailed:
        """Return the next answer. Raises `AuthorizationFailed` where it is not the next one."""
        message = wire.parsed(messages.CheckStreamResponse, data)
        if message.id != str(self._answered):
            raise AuthorizationFailed("UNKNOWN", "an answer of the stream is out of order")
        self._answered += 1
        return wire.outcome(message)

    def end(self) -> None:
        """Raise `AuthorizationFailed` unless each question was answered."""
        if self._answered != self._sent:
            raise AuthorizationFailed("UNKNOWN", "the stream ended before its last answer")


def serves(state: bytes) -> bool:
    """Return whether a message of the health service says that the daemon serves."""
    health = messages.HealthCheckResponse
    return wire.parsed(health, state).status == health.SERVING


def never_served() -> AuthorizationFailed:
    """Return the failure of a watch that ended."""
    return AuthorizationFailed("UNAVAILABLE", _STOPPED)
