"""`Client`: questions to a daemon over gRPC, answers as plain values.

Invariants: an `Answer` exists only where the daemon gave one; everything else, a daemon that cannot
be reached included, raises `AuthorizationFailed`. There is no default that allows.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from threading import Lock
from types import TracebackType
from typing import TypeVar

import grpc

from . import exchange
from .cache import AnswerCache
from .connection import Connection, failed
from .explanation import Explanation
from .filtering import Filter
from .values import (
    Answer,
    AuthorizationFailed,
    Json,
    PartialAnswer,
    Proof,
    Question,
    Resource,
)

T = TypeVar("T")


class Client:
    """Asks the daemon at `target`: `host:port` or `unix:path`. Threads may share it.

    `timeout` is in seconds, for each question, repetitions included. With `authorities` (PEM) the
    daemon must present a certificate that one of them issued; without, the connection is plain
    text. `certificate` and `private_key` (PEM) are the client's own, for a daemon that asks for
    them. A call is made `attempts` times at most, and again only if the daemon was UNAVAILABLE.
    `cache` keeps answers. Raises `ValueError` where these do not fit together.

    The connection is made with the first question, in the process that asks it: a client that was
    made before a fork works after it.
    """

    def __init__(
        self,
        target: str,
        *,
        timeout: float = 5.0,
        authorities: bytes | None = None,
        certificate: bytes | None = None,
        private_key: bytes | None = None,
        attempts: int = 4,
        cache: AnswerCache | None = None,
    ) -> None:
        self._connection = Connection(target, authorities, certificate, private_key, attempts)
        self._timeout = timeout
        self._cache = cache
        self._lock = Lock()
        self._opened: tuple[int, grpc.Channel] | None = None

    @property
    def target(self) -> str:
        """Where the daemon is."""
        return self._connection.target

    def __enter__(self) -> Client:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the connection. A question afterwards opens another."""
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None and opened[0] == os.getpid():
            opened[1].close()

    def wait_until_serving(self, timeout: float) -> None:
        """Wait until the daemon says that it serves, `timeout` seconds at most.

        Raises `AuthorizationFailed` when that time is over.
        """
        watch: grpc.UnaryStreamMultiCallable[bytes, bytes]
        watch = self._channel().unary_stream(exchange.WATCH)
        states = watch(b"", timeout=timeout, wait_for_ready=True)
        try:
            for state in states:
                if exchange.serves(state):
                    states.cancel()
                    return
        except grpc.RpcError as error:
            raise failed(error) from None
        raise exchange.never_served()

    def check(
        self,
        access_token: str,
        *,
        action: str,
        resource: Resource,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> Answer:
        """Ask one question. Raises `AuthorizationFailed`.

        The token may come with `Bearer ` before it, and white space around it.
        """
        return self.ask(
            Question(access_token, action, resource, api, context or {}, proof, request_id)
        )

    def ask(self, question: Question) -> Answer:
        """Ask one question. Raises `AuthorizationFailed`."""
        return self._run(exchange.check(question, self._cache))

    def require(self, question: Question) -> Answer:
        """Ask one question whose answer must allow. Raises `AccessDenied`, with the answer, where
        it does not, and `AuthorizationFailed` where there is none."""
        return self._run(exchange.required(exchange.check(question, self._cache)))

    def batch_check(
        self,
        access_token: str,
        items: Sequence[tuple[str, Resource]],
        *,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> list[Answer | AuthorizationFailed]:
        """Ask several questions, pairs of action and resource, about one token.

        The result is by item: an answer, or why that item has none. Raises `AuthorizationFailed`.
        """
        return self._run(
            exchange.batch_check(
                access_token,
                items,
                api=api,
                context=context or {},
                proof=proof,
                request_id=request_id,
            )
        )

    def partial_check(self, question: Question, unknown: Iterable[str]) -> PartialAnswer:
        """Ask what is certain of a question while some facts are unknown.

        `unknown` names them as a policy does, such as `resource.amount`; `resource` and `context`
        name all that there are. Raises `AuthorizationFailed`.
        """
        return self._run(exchange.partial_check(question, unknown))

    def batch_partial_check(
        self,
        access_token: str,
        items: Sequence[tuple[str, Resource]],
        unknown: Iterable[str],
        *,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> list[PartialAnswer | AuthorizationFailed]:
        """Ask several such questions about one token: which entries a menu has, or a list of tools.

        The result is by item: an answer, or why that item has none. Raises `AuthorizationFailed`.
        """
        return self._run(
            exchange.batch_partial_check(
                access_token,
                items,
                unknown,
                api=api,
                context=context or {},
                proof=proof,
                request_id=request_id,
            )
        )

    def filter(
        self,
        access_token: str,
        *,
        action: str,
        resource_type: str,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> Filter:
        """Ask on which resources of a type an action is allowed, for a query of their database.

        `policyd_client.filters` writes it. Raises `AuthorizationFailed`.
        """
        return self._run(
            exchange.filter(
                access_token,
                action,
                resource_type,
                api=api,
                context=context or {},
                proof=proof,
                request_id=request_id,
            )
        )

    def explain(self, question: Question) -> Explanation:
        """Ask one question, and how the decision came about, of a listener that explains.

        Raises `AuthorizationFailed`: with UNIMPLEMENTED where the listener does not.
        """
        return self._run(exchange.explain(question))

    def check_stream(
        self, questions: Iterable[Question], *, timeout: float | None = None
    ) -> Iterator[Answer | AuthorizationFailed]:
        """Ask questions as they come, over one stream; yield what came of each, in order.

        Each question may have its own token. `timeout` is for the whole stream. Raises
        `AuthorizationFailed` where the stream breaks, so that no question stays unanswered unseen.
        """
        stream = exchange.Stream()
        method: grpc.StreamStreamMultiCallable[bytes, bytes]
        method = self._channel().stream_stream(exchange.CHECK_STREAM)
        call = method(_sent(stream, questions), timeout=timeout)
        try:
            for data in call:
                yield stream.answer(data)
        except grpc.RpcError as error:
            raise (failed(error) if stream.failure is None else stream.failure) from None
        finally:
            call.cancel()
        stream.end()

    def _run(self, talk: exchange.Exchange[T]) -> T:
        """Make the calls of an exchange."""
        try:
            request = next(talk)
            while True:
                request = talk.send(self._send(request))
        except StopIteration as end:
            result: T = end.value
            return result

    def _send(self, request: exchange.Request) -> bytes:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes]
        method = self._channel().unary_unary(request.method)
        try:
            return method(request.data, timeout=self._timeout)
        except grpc.RpcError as error:
            raise failed(error) from None

    def _channel(self) -> grpc.Channel:
        process = os.getpid()
        with self._lock:
            if self._opened is None or self._opened[0] != process:
                credentials, options = self._connection.credentials(), self._connection.options()
                target = self._connection.target
                channel = (
                    grpc.insecure_channel(target, options)
                    if credentials is None
                    else grpc.secure_channel(target, credentials, options)
                )
                self._opened = (process, channel)
            return self._opened[1]


def _sent(stream: exchange.Stream, questions: Iterable[Question]) -> Iterator[bytes]:
    """Yield the bytes of each question; gRPC hides what an iterator raises, so it is noted."""
    try:
        for question in questions:
            yield stream.question(question)
    except Exception as error:
        stream.failure = error
        raise
