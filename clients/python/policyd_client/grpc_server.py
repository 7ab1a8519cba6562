"""Interceptors for gRPC servers, blocking and asyncio: ask before a method runs.

    guard = Guard(
        client,
        {"/clinic.Patients/Read": Ask("read", lambda request: Resource("patient", request.id))},
        api="health",
        public=["/grpc.health.v1.Health/Check"],
    )
    server = grpc.server(executor, interceptors=[guard])

Invariant: a method that is neither in the table nor public is refused. The token is the metadata
entry `authorization`. A refusal is UNAUTHENTICATED, PERMISSION_DENIED or UNAVAILABLE, with what
policyd made of header fields as trailing metadata.
"""

from __future__ import annotations

import inspect
from collections.abc import (
    AsyncIterator,
    Awaitable,
    Callable,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from dataclasses import dataclass
from typing import TypeAlias, TypeVar, cast

import grpc
import grpc.aio

from .aio import AsyncClient
from .client import Client
from .credentials import credentials, new_request_id
from .enforcement import LOGGER, refusal
from .values import Answer, AuthorizationFailed, Question, Resource, thumbprint

_CODES = {
    401: grpc.StatusCode.UNAUTHENTICATED,
    403: grpc.StatusCode.PERMISSION_DENIED,
    503: grpc.StatusCode.UNAVAILABLE,
}
Outcome: TypeAlias = Answer | AuthorizationFailed
Behaviour: TypeAlias = Callable[[object, object], object]
Q = TypeVar("Q")
A = TypeVar("A")
_AsyncContext: TypeAlias = "grpc.aio.ServicerContext[object, object]"


@dataclass(frozen=True)
class Ask:
    """What a method needs: an action on a resource that its request message names.

    A method whose requests are a stream is asked about before its first message comes, so its
    resource has to be always the same.
    """

    action: str
    resource: Resource | Callable[[object], Resource]


class _Table:
    """What is asked about which method."""

    def __init__(self, methods: Mapping[str, Ask], api: str, public: Iterable[str]) -> None:
        self._methods = dict(methods)
        self._api = api
        self._public = frozenset(public)

    def is_public(self, method: str) -> bool:
        return method in self._public

    def question(self, method: str, message: object, context: _Context) -> Question | None:
        """Return what to ask; `None` where the method is in no table. `message` may be `None`."""
        ask = self._methods.get(method)
        if ask is None:
            LOGGER.error("access is refused: the guard has no entry for %s", method)
            return None
        if callable(ask.resource):
            if message is None:
                raise TypeError(f"{method} takes a stream: its resource has to be a Resource")
            resource = ask.resource(message)
        else:
            resource = ask.resource
        shown = credentials(
            [str(value) for name, value in context.metadata if name == "authorization"],
            certificate=context.certificate,
        )
        return Question(
            shown.access_token,
            ask.action,
            resource,
            self._api,
            proof=shown.proof,
            request_id=new_request_id(),
        )


@dataclass(frozen=True)
class _Context:
    """What a call showed."""

    metadata: Sequence[tuple[str, str | bytes]]
    certificate: str


def _context(context: grpc.ServicerContext | _AsyncContext) -> _Context:
    """Read what both of gRPC's contexts have. A certificate is one that the handshake proved."""
    shown = cast("Mapping[str, Sequence[bytes]]", context.auth_context()).get("x509_pem_cert")
    certificate = thumbprint(shown[0].decode("ascii")) if shown else ""
    metadata = context.invocation_metadata() or ()
    return _Context([(one[0], one[1]) for one in metadata], certificate)


def _ending(outcome: Outcome | None) -> tuple[grpc.StatusCode, str, tuple[tuple[str, str], ...]]:
    """Return code, details and trailing metadata of a call that is refused."""
    if outcome is None:
        return grpc.StatusCode.PERMISSION_DENIED, "the method is open to nobody", ()
    made = refusal(outcome)
    trailing = tuple((name.lower(), value) for name, value in made.headers.items())
    return _CODES.get(made.status, grpc.StatusCode.INTERNAL), made.message, trailing


class Guard(grpc.ServerInterceptor):
    """Asks with `client` about each call of a blocking server.

    `methods` are full names, `/package.Service/Method`; `public` are those of which nothing is
    asked. `api` is the API's name or audience, empty for the daemon's `default_api`.
    """

    def __init__(
        self,
        client: Client,
        methods: Mapping[str, Ask],
        *,
        api: str = "",
        public: Iterable[str] = (),
    ) -> None:
        self._client = client
        self._table = _Table(methods, api, public)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], grpc.RpcMethodHandler[Q, A] | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Q, A] | None:
        """Put the question before the method's own code."""
        handler = continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or self._table.is_public(method):
            return handler
        inner = _behaviour(handler)

        def unary(request: object, context: grpc.ServicerContext) -> object:
            self._admit(method, None if handler.request_streaming else request, context)
            return inner(request, context)

        def stream(request: object, context: grpc.ServicerContext) -> Iterator[object]:
            self._admit(method, None if handler.request_streaming else request, context)
            yield from cast("Iterator[object]", inner(request, context))

        return _with(handler, stream if handler.response_streaming else unary)

    def _admit(self, method: str, message: object, context: grpc.ServicerContext) -> None:
        question = self._table.question(method, message, _context(context))
        outcome: Outcome | None
        try:
            outcome = None if question is None else self._client.ask(question)
        except AuthorizationFailed as failed:
            outcome = failed
        if isinstance(outcome, Answer) and outcome.allowed:
            return
        code, details, trailing = _ending(outcome)
        context.set_trailing_metadata(trailing)
        context.abort(code, details)


class AsyncGuard(grpc.aio.ServerInterceptor):
    """Asks with `client` about each call of an asyncio server, whose methods are coroutines.

    The arguments are those of `Guard`.
    """

    def __init__(
        self,
        client: AsyncClient,
        methods: Mapping[str, Ask],
        *,
        api: str = "",
        public: Iterable[str] = (),
    ) -> None:
        self._client = client
        self._table = _Table(methods, api, public)

    async def intercept_service(
        self,
        continuation: Callable[
            [grpc.HandlerCallDetails], Awaitable[grpc.RpcMethodHandler[Q, A] | None]
        ],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> grpc.RpcMethodHandler[Q, A] | None:
        """Put the question before the method's own code."""
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or self._table.is_public(method):
            return handler
        inner = _behaviour(handler)

        async def unary(request: object, context: _AsyncContext) -> object:
            await self._admit(method, None if handler.request_streaming else request, context)
            made = inner(request, context)
            if not inspect.isawaitable(made):
                raise TypeError(f"{method} is no coroutine, and AsyncGuard serves nothing else")
            return await made

        async def stream(request: object, context: _AsyncContext) -> AsyncIterator[object]:
            await self._admit(method, None if handler.request_streaming else request, context)
            made = inner(request, context)
            if inspect.isawaitable(made):  # it writes with `context.write`
                await made
                return
            async for message in cast("AsyncIterator[object]", made):
                yield message

        return _with(handler, stream if handler.response_streaming else unary)

    async def _admit(self, method: str, message: object, context: _AsyncContext) -> None:
        question = self._table.question(method, message, _context(context))
        outcome: Outcome | None
        try:
            outcome = None if question is None else await self._client.ask(question)
        except AuthorizationFailed as failed:
            outcome = failed
        if isinstance(outcome, Answer) and outcome.allowed:
            return
        code, details, trailing = _ending(outcome)
        await context.abort(code, details, trailing)


def _behaviour(handler: grpc.RpcMethodHandler[Q, A]) -> Behaviour:
    """Return the one of four functions that a handler has."""
    found = (
        (handler.stream_stream if handler.request_streaming else handler.unary_stream)
        if handler.response_streaming
        else (handler.stream_unary if handler.request_streaming else handler.unary_unary)
    )
    return cast("Behaviour", found)


def _with(handler: grpc.RpcMethodHandler[Q, A], behaviour: object) -> grpc.RpcMethodHandler[Q, A]:
    """Return the handler with another function in its place."""
    make = (
        (
            grpc.stream_stream_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_stream_rpc_method_handler
        )
        if handler.response_streaming
        else (
            grpc.stream_unary_rpc_method_handler
            if handler.request_streaming
            else grpc.unary_unary_rpc_method_handler
        )
    )
    made = cast("Callable[[object, object, object], object]", make)(
        behaviour, handler.request_deserializer, handler.response_serializer
    )
    return cast("grpc.RpcMethodHandler[Q, A]", made)
