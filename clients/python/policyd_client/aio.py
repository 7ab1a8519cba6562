"""`AsyncClient`: `Client` for asyncio. What is asked and answered is the same: `exchange`."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterable, AsyncIterator, Iterable, Mapping, Sequence
from types import TracebackType
from typing import TypeVar

import grpc
import grpc.aio

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


class AsyncClient:
    """Asks the daemon at `target` from coroutines; the arguments are those of `Client`.

    Each event loop has a channel of its own, made with the first question that it asks. So a client
    may be made before any loop runs, and be used in several, one after another.
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
        self._channels: dict[asyncio.AbstractEventLoop, grpc.aio.Channel] = {}

    @property
    def target(self) -> str:
        """Where the daemon is."""
        return self._connection.target

    async def __aenter__(self) -> AsyncClient:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the running loop's connection. A question afterwards opens another."""
        channel = self._channels.pop(asyncio.get_running_loop(), None)
        if channel is not None:
            await channel.close()

    async def wait_until_serving(self, timeout: float) -> None:
        """As `Client.wait_until_serving`."""
        watch: grpc.aio.UnaryStreamMultiCallable[bytes, bytes]
        watch = self._channel().unary_stream(exchange.WATCH)
        states = watch(b"", timeout=timeout, wait_for_ready=True)
        try:
            async for state in states:
                if exchange.serves(state):
                    states.cancel()
                    return
        except grpc.RpcError as error:
            raise failed(error) from None
        raise exchange.never_served()

    async def check(
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
        """As `Client.check`."""
        return await self.ask(
            Question(access_token, action, resource, api, context or {}, proof, request_id)
        )

    async def ask(self, question: Question) -> Answer:
        """As `Client.ask`."""
        return await self._run(exchange.check(question, self._cache))

    async def require(self, question: Question) -> Answer:
        """As `Client.require`."""
        return await self._run(exchange.required(exchange.check(question, self._cache)))

    async def batch_check(
        self,
        access_token: str,
        items: Sequence[tuple[str, Resource]],
        *,
        api: str = "",
        context: Mapping[str, Json] | None = None,
        proof: Proof | None = None,
        request_id: str = "",
    ) -> list[Answer | AuthorizationFailed]:
        """As `Client.batch_check`."""
        return await self._run(
            exchange.batch_check(
                access_token,
                items,
                api=api,
                context=context or {},
                proof=proof,
                request_id=request_id,
            )
        )

    async def partial_check(self, question: Question, unknown: Iterable[str]) -> PartialAnswer:
        """As `Client.partial_check`."""
        return await self._run(exchange.partial_check(question, unknown))

    async def batch_partial_check(
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
        """As `Client.batch_partial_check`."""
        return await self._run(
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

    async def filter(
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
        """As `Client.filter`."""
        return await self._run(
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

    async def explain(self, question: Question) -> Explanation:
        """As `Client.explain`."""
        return await self._run(exchange.explain(question))

    async def check_stream(
        self,
        questions: Iterable[Question] | AsyncIterable[Question],
        *,
        timeout: float | None = None,
    ) -> AsyncIterator[Answer | AuthorizationFailed]:
        """As `Client.check_stream`; the questions may come from a coroutine too."""
        stream = exchange.Stream()
        method: grpc.aio.StreamStreamMultiCallable[bytes, bytes]
        method = self._channel().stream_stream(exchange.CHECK_STREAM)
        call = method(_sent(stream, questions), timeout=timeout)
        try:
            async for data in call:
                yield stream.answer(data)
        except (grpc.RpcError, asyncio.CancelledError) as error:
            if stream.failure is not None:
                raise stream.failure from None
            if isinstance(error, asyncio.CancelledError):
                raise
            raise failed(error) from None
        finally:
            call.cancel()
        if stream.failure is not None:
            raise stream.failure
        stream.end()

    async def _run(self, talk: exchange.Exchange[T]) -> T:
        """Make the calls of an exchange."""
        try:
            request = next(talk)
            while True:
                request = talk.send(await self._send(request))
        except StopIteration as end:
            result: T = end.value
            return result

    async def _send(self, request: exchange.Request) -> bytes:
        method: grpc.aio.UnaryUnaryMultiCallable[bytes, bytes]
        method = self._channel().unary_unary(request.method)
        try:
            return await method(request.data, timeout=self._timeout)
        except grpc.RpcError as error:
            raise failed(error) from None

    def _channel(self) -> grpc.aio.Channel:
        loop = asyncio.get_running_loop()
        channel = self._channels.get(loop)
        if channel is None:
            credentials, options = self._connection.credentials(), self._connection.options()
            target = self._connection.target
            for other in [one for one in self._channels if one.is_closed()]:
                del self._channels[other]
            channel = self._channels[loop] = (
                grpc.aio.insecure_channel(target, options)
                if credentials is None
                else grpc.aio.secure_channel(target, credentials, options)
            )
        return channel


async def _sent(
    stream: exchange.Stream, questions: Iterable[Question] | AsyncIterable[Question]
) -> AsyncIterator[bytes]:
    """Yield the bytes of each question; gRPC hides what an iterator raises, so it is noted."""
    try:
        if isinstance(questions, AsyncIterable):
            async for question in questions:
                yield stream.question(question)
        else:
            for question in questions:
                yield stream.question(question)
    except Exception as error:
        stream.failure = error
        raise
