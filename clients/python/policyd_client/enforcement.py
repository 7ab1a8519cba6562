"""What every integration does: ask about a request, and turn a refusal into its answer.

Invariants: the guarded code runs only after an answer that allows. A deny becomes the status and
the challenge that the daemon made. No answer becomes 503 where waiting may help, else 500, and is
logged as an error. What a service's own callbacks raise goes on to its framework.
"""

from __future__ import annotations

import inspect
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Generic, Protocol, TypeAlias, TypeVar, cast

from .credentials import credentials
from .values import Answer, AuthorizationFailed, Json, Question, Resource

R = TypeVar("R")
C = TypeVar("C")

Ask: TypeAlias = Callable[[Question], Answer]
AskLater: TypeAlias = Callable[[Question], Awaitable[Answer]]


class Asks(Protocol):
    """What asks, and waits: `Client` or `policyd.Embedded`."""

    def ask(self, question: Question) -> Answer: ...


class AsksLater(Protocol):
    """What is awaited: `AsyncClient`."""

    async def ask(self, question: Question) -> Answer: ...


class AsksBoth(Protocol):
    """What can be awaited too: `policyd.Embedded`."""

    async def aask(self, question: Question) -> Answer: ...


#: Where failures are told. A deny is no failure: the daemon's decision log has it.
LOGGER = logging.getLogger("policyd_client")
#: Failures that end by themselves (gRPC's statuses).
_PASSING = frozenset({"UNAVAILABLE", "DEADLINE_EXCEEDED", "RESOURCE_EXHAUSTED", "CANCELLED"})
_RETRY_AFTER = 5


@dataclass(frozen=True)
class Refusal:
    """What a service answers its own caller: an HTTP status, header fields, and a word on why.

    `error` is policyd's reason, or `AUTHORIZATION_UNAVAILABLE` where there is no answer. `message`
    is for people.
    """

    status: int
    headers: Mapping[str, str]
    error: str
    message: str

    def body(self) -> dict[str, str]:
        """Return the body of a JSON answer."""
        return {"error": self.error, "message": self.message}


def refusal(outcome: Answer | AuthorizationFailed) -> Refusal:
    """Return what to answer a caller who is not let in. A failure is logged here."""
    if isinstance(outcome, AuthorizationFailed):
        return _unanswered(outcome)
    headers = dict(answer_headers(outcome))
    if outcome.www_authenticate:
        headers["WWW-Authenticate"] = outcome.www_authenticate
    if outcome.retry_after_seconds:
        headers["Retry-After"] = str(outcome.retry_after_seconds)
    # Whatever an answer says besides, a deny is no success.
    status = outcome.http_status if outcome.http_status >= 400 else 403
    return Refusal(status, headers, outcome.reason, outcome.message)


def _unanswered(failed: AuthorizationFailed) -> Refusal:
    LOGGER.error("access is refused, because policyd gave no answer: %s", failed)
    passing = failed.code in _PASSING
    headers = {"Retry-After": str(_RETRY_AFTER)} if passing else {}
    status = 503 if passing else 500
    return Refusal(status, headers, "AUTHORIZATION_UNAVAILABLE", "no decision could be made")


def answer_headers(answer: Answer) -> Mapping[str, str]:
    """Return the header fields that go with any response, also where access is allowed."""
    return {"DPoP-Nonce": answer.dpop_nonce} if answer.dpop_nonce else {}


@dataclass(frozen=True)
class Seen:
    """What an HTTP request showed: all its fields `Authorization` and `DPoP`, method and path.

    `path` is as it was received, with its percent-encodings.
    """

    authorization: Sequence[str]
    dpop: Sequence[str]
    method: str
    path: str


class HttpGuard(Generic[R, C]):
    """What the guards of web frameworks share. `R` is the framework's request, `C` the client that
    asks.

    The client speaks to a daemon, or is a `policyd.Embedded`, which decides in this process.

    `api` is the API's name or audience, empty for the daemon's `default_api`. `external_origin` is
    scheme and host as callers know them, such as `https://api.example.com`. Tokens that are bound
    by DPoP need it: a `Host` header proves no address. `certificate` returns the thumbprint of the
    certificate that the caller showed over mutual TLS, empty where there is none; see `thumbprint`.
    `context` returns what the policy declares of a call.
    """

    def __init__(
        self,
        client: C,
        *,
        api: str = "",
        external_origin: str = "",
        certificate: Callable[[R], str] | None = None,
        context: Callable[[R], Mapping[str, Json]] | None = None,
    ) -> None:
        known = getattr(client, "failure", AuthorizationFailed)
        if known is not AuthorizationFailed:
            raise TypeError(
                f"{type(client).__qualname__} raises {known.__module__}.{known.__qualname__}, "
                "which this guard does not know: import the guard from `policyd.client`"
            )
        self._client = client
        self._api = api
        self._external_origin = external_origin.rstrip("/")
        self._certificate = certificate
        self._context = context

    def question(
        self, request: R, seen: Seen, action: str, resource: Resource, request_id: str
    ) -> Question:
        """Return what to ask about a request; `request_id` is the same for all of one request."""
        if seen.dpop and not self._external_origin:
            LOGGER.warning(
                "a DPoP proof was sent, and is refused: give the guard `external_origin`, such as "
                "https://api.example.com"
            )
        shown = credentials(
            seen.authorization,
            dpop=seen.dpop,
            method=seen.method,
            uri=f"{self._external_origin}{seen.path}",
            certificate="" if self._certificate is None else self._certificate(request),
        )
        return Question(
            shown.access_token,
            action,
            resource,
            self._api,
            {} if self._context is None else self._context(request),
            shown.proof,
            request_id,
        )


def asked_now(client: object) -> Ask | None:
    """Return how a client is asked by code that waits; `None` where it can only be awaited."""
    ask = getattr(client, "ask", None)
    return None if ask is None or inspect.iscoroutinefunction(ask) else cast("Ask", ask)


def asked_later(client: object) -> AskLater | None:
    """Return how a client is asked by code that awaits; `None` where it would hold that up."""
    ask = getattr(client, "aask", None) or getattr(client, "ask", None)
    return cast("AskLater", ask) if inspect.iscoroutinefunction(ask) else None
