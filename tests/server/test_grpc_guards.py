"""Guards of gRPC servers, blocking and asyncio, over the real daemon, for each kind of method."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from typing import NamedTuple, Protocol

import grpc
import grpc.aio
import pytest

from policyd.client import AsyncClient, Client, Question, Resource
from policyd.client.grpc_server import Ask, AsyncGuard, Guard
from tests.support.daemon import PATIENCE, Daemon, Site, access_token

SERVICE = "clinic.Patients"
KINDS = ("UnaryUnary", "UnaryStream", "StreamUnary", "StreamStream")


def patient(message: object) -> Resource:
    assert isinstance(message, bytes)
    name = message.decode()
    return Resource("patient", name, {"sealed": name.startswith("s")})


METHODS = {
    f"/{SERVICE}/UnaryUnary": Ask("read", patient),
    f"/{SERVICE}/UnaryStream": Ask("read", patient),
    f"/{SERVICE}/StreamUnary": Ask("list", Resource("patients")),
    f"/{SERVICE}/StreamStream": Ask("list", Resource("patients")),
    f"/{SERVICE}/Wrong": Ask("read", patient),
}
PUBLIC = [f"/{SERVICE}/Public"]


class Reply(NamedTuple):
    code: grpc.StatusCode
    details: str
    messages: list[bytes]
    trailing: dict[str, str | bytes]


def handlers() -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    def each(request: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        yield from request

    return {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
        "Public": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
        "Forgotten": grpc.unary_unary_rpc_method_handler(lambda request, context: request),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(
            lambda request, context: iter([request, request])
        ),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(
            lambda request, context: b"".join(request)
        ),
        "StreamStream": grpc.stream_stream_rpc_method_handler(each),
        "Wrong": grpc.stream_stream_rpc_method_handler(each),
    }


def async_handlers() -> dict[str, grpc.RpcMethodHandler[bytes, bytes]]:
    async def unary(request: bytes, context: object) -> bytes:
        return request

    async def twice(request: bytes, context: object) -> AsyncIterator[bytes]:
        yield request
        yield request

    async def joined(request: AsyncIterator[bytes], context: object) -> bytes:
        return b"".join([one async for one in request])

    async def each(request: AsyncIterator[bytes], context: object) -> AsyncIterator[bytes]:
        async for one in request:
            yield one

    return {
        "UnaryUnary": grpc.unary_unary_rpc_method_handler(unary),
        "Public": grpc.unary_unary_rpc_method_handler(unary),
        "Forgotten": grpc.unary_unary_rpc_method_handler(unary),
        "UnaryStream": grpc.unary_stream_rpc_method_handler(twice),
        "StreamUnary": grpc.stream_unary_rpc_method_handler(joined),
        "StreamStream": grpc.stream_stream_rpc_method_handler(each),
        "Wrong": grpc.stream_stream_rpc_method_handler(each),
    }


class Caller(Protocol):
    """Calls a method of the guarded service."""

    def __call__(self, method: str, message: bytes, *tokens: str) -> Reply: ...


@contextmanager
def blocking(target: str) -> Iterator[Caller]:
    with Client(target, attempts=1) as client, ThreadPoolExecutor(2) as threads:
        guard = Guard(client, METHODS, api="health", public=PUBLIC)
        server = grpc.server(threads, interceptors=[guard])
        server.add_generic_rpc_handlers(
            (grpc.method_handlers_generic_handler(SERVICE, handlers()),)
        )
        port = server.add_insecure_port("127.0.0.1:0")
        server.start()
        try:
            yield lambda method, message, *tokens: called(port, method, message, *tokens)
        finally:
            server.stop(None).wait(PATIENCE)


@contextmanager
def asynchronous(target: str) -> Iterator[Caller]:
    def call(method: str, message: bytes, *tokens: str) -> Reply:
        async def run() -> Reply:
            async with AsyncClient(target, attempts=1) as client:
                guard = AsyncGuard(client, METHODS, api="health", public=PUBLIC)
                server = grpc.aio.server(interceptors=[guard])
                server.add_generic_rpc_handlers(
                    (grpc.method_handlers_generic_handler(SERVICE, async_handlers()),)
                )
                port = server.add_insecure_port("127.0.0.1:0")
                await server.start()
                try:
                    return await asyncio.to_thread(called, port, method, message, *tokens)
                finally:
                    await server.stop(None)

        return asyncio.run(run())

    yield call


def called(port: int, method: str, message: bytes, *tokens: str) -> Reply:
    metadata = tuple(("authorization", token) for token in tokens)
    with grpc.insecure_channel(
        f"127.0.0.1:{port}", [("grpc.use_local_subchannel_pool", 1)]
    ) as channel:
        multi: grpc.StreamStreamMultiCallable[bytes, bytes]
        multi = channel.stream_stream(f"/{SERVICE}/{method}")
        call = multi(iter([message]), metadata=metadata, timeout=PATIENCE)
        messages: list[bytes] = []
        with suppress(grpc.RpcError):
            messages.extend(call)
        trailing = {one[0]: one[1] for one in call.trailing_metadata() or ()}
        return Reply(call.code(), call.details() or "", messages, trailing)


@pytest.fixture(scope="module")
def daemon(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Daemon]:
    with Site(tmp_path_factory.mktemp("guards")).start() as running:
        yield running


SERVERS = pytest.mark.parametrize("serving", [blocking, asynchronous])


class Serving(Protocol):
    """One of the two servers."""

    def __call__(self, target: str) -> _Context: ...


class _Context(Protocol):
    def __enter__(self) -> Caller: ...

    def __exit__(self, *_: object) -> bool | None: ...


@SERVERS
def test_lets_in_whom_the_policy_allows(serving: Serving, daemon: Daemon) -> None:
    token = f"Bearer {access_token()}"
    with serving(daemon.addresses[0]) as call:
        for method in KINDS:
            reply = call(method, b"p1", token)
            assert reply.code is grpc.StatusCode.OK, reply
            assert reply.messages == [b"p1"] * (2 if method == "UnaryStream" else 1)
        assert call("Public", b"p1").messages == [b"p1"]


@SERVERS
def test_a_deny_has_the_code_and_the_challenge(serving: Serving, daemon: Daemon) -> None:
    lacking = access_token(scope="openid")
    with Client(daemon.addresses[0]) as client:
        expected = client.ask(Question(lacking, "list", Resource("patients"), "health"))
    with serving(daemon.addresses[0]) as call:
        for method in KINDS:
            for tokens, code in (
                ((), grpc.StatusCode.UNAUTHENTICATED),
                (("Bearer none",), grpc.StatusCode.UNAUTHENTICATED),
                ((f"Bearer {lacking}",) * 2, grpc.StatusCode.UNAUTHENTICATED),
                ((f"Bearer {lacking}",), grpc.StatusCode.PERMISSION_DENIED),
            ):
                reply = call(method, b"p1", *tokens)
                assert (reply.code, reply.messages) == (code, []), (method, tokens)
            assert reply.details == expected.message
            assert reply.trailing["www-authenticate"] == expected.www_authenticate
        sealed = call("UnaryUnary", b"sealed", f"Bearer {access_token()}")
        assert sealed.code is grpc.StatusCode.UNAUTHENTICATED  # a stronger login (RFC 9470)


@SERVERS
def test_a_method_that_was_forgotten_is_open_to_nobody(
    serving: Serving, daemon: Daemon, caplog: pytest.LogCaptureFixture
) -> None:
    token = f"Bearer {access_token()}"
    with serving(daemon.addresses[0]) as call:
        reply = call("Forgotten", b"p1", token)
        assert (reply.code, reply.messages) == (grpc.StatusCode.PERMISSION_DENIED, [])
        assert f"the guard has no entry for /{SERVICE}/Forgotten" in caplog.text
        wrong = call("Wrong", b"p1", token)
    assert (wrong.code, wrong.messages) == (grpc.StatusCode.UNKNOWN, [])
    assert "takes a stream: its resource has to be a Resource" in caplog.text


@SERVERS
def test_no_answer_lets_nobody_in_and_is_loud(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    with serving("unix:/nowhere/at/all") as call:
        for method in KINDS:
            reply = call(method, b"p1", f"Bearer {access_token()}")
            assert (reply.code, reply.messages) == (grpc.StatusCode.UNAVAILABLE, [])
            assert reply.trailing["retry-after"] == "5"
    said = [one for one in caplog.records if one.name == "policyd_client"]
    assert [one.levelno for one in said] == [logging.ERROR] * len(KINDS)
