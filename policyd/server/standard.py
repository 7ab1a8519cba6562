"""The transport over grpcio's own synchronous server.

Unary calls run in a small pool. Exchanges and watches hold a thread for as long as they last, so
they have a pool of their own and can never starve unary calls; one more than it bears is refused.

A unary call whose message has not arrived yet holds a thread of the small pool. That is in the
nature of grpcio's server; callers are trusted not to leave calls half open.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn

import grpc

from policyd.server.transport import (
    BindFailed,
    CallFailed,
    Exchange,
    Handler,
    Identity,
    Limits,
    Method,
    Methods,
    StatusCode,
    Unary,
    Watch,
)

_log = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_NO_DEADLINE = 1e9
_INTERNAL = CallFailed(StatusCode.INTERNAL, "policyd failed; its log says more")

_Behaviour = Callable[[bytes, grpc.ServicerContext], bytes]
_StreamBehaviour = Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]]


class StandardTransport:
    """`policyd.server.transport.Transport` over `grpc.server`.

    `surplus` is what a stream past the limit is told.
    """

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed) -> None:
        self._pool = ThreadPoolExecutor(limits.threads, thread_name_prefix="call")
        self._streams = _Streams(limits.streams)
        self._server = grpc.server(
            self._pool,
            handlers=[_Table(methods, self._streams, surplus)],
            maximum_concurrent_rpcs=limits.calls + limits.streams,
            options=(
                ("grpc.max_receive_message_length", limits.message_bytes),
                # Two daemons on one port would each get half of the calls without a word.
                ("grpc.so_reuseport", 0),
                # Idle clients may keep their connection alive.
                ("grpc.keepalive_permit_without_calls", 1),
                ("grpc.http2.min_ping_interval_without_data_ms", 10_000),
            ),
        )

    def bind(self, address: str, identity: Identity | None = None) -> str:
        """See `Transport.bind`."""
        try:
            if identity is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, _credentials(identity))
        except RuntimeError as error:
            raise BindFailed(str(error)) from error
        if address.startswith("unix:"):
            return address
        return f"{address.rpartition(':')[0]}:{port}"

    def start(self) -> None:
        """See `Transport.start`."""
        self._server.start()

    def stop(self, grace: float) -> None:
        """See `Transport.stop`."""
        self._server.stop(grace).wait()
        self._pool.shutdown(wait=False, cancel_futures=True)
        self._streams.pool.shutdown(wait=False, cancel_futures=True)


def _credentials(identity: Identity) -> grpc.ServerCredentials:
    return grpc.ssl_server_credentials(
        [(identity.private_key, identity.certificate)],
        root_certificates=identity.client_authorities,
        require_client_auth=identity.client_authorities is not None,
    )


class _Streams:
    """The pool of long calls, which counts those that are open."""

    def __init__(self, limit: int) -> None:
        # One thread more than streams: it tells surplus ones that they are.
        self.pool = ThreadPoolExecutor(limit + 1, thread_name_prefix="stream")
        self._limit = limit
        self._open = 0
        self._lock = threading.Lock()

    def enter(self) -> bool:
        """Count one more, unless the limit is reached."""
        with self._lock:
            if self._open >= self._limit:
                return False
            self._open += 1
            return True

    def leave(self) -> None:
        with self._lock:
            self._open -= 1


class _Table(grpc.GenericRpcHandler):
    """Looks methods up. grpcio calls it on its polling thread, so it must not wait."""

    def __init__(self, methods: Methods, streams: _Streams, surplus: CallFailed) -> None:
        self._handlers = {
            name: _rpc_handler(method, streams, surplus) for name, method in methods.items()
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        return self._handlers.get(handler_call_details.method)


def _rpc_handler(
    method: Method, streams: _Streams, surplus: CallFailed
) -> grpc.RpcMethodHandler[bytes, bytes]:
    if isinstance(method, Unary):
        return grpc.unary_unary_rpc_method_handler(_unary(method.handler))
    run = _exchange(method.handler) if isinstance(method, Exchange) else _watch(method)

    def behave(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        if not streams.enter():
            _fail(context, surplus)
        # Called at once if the call is over already, so what was entered is always left.
        if not context.add_callback(streams.leave):
            streams.leave()
        return run(requests, context)

    # grpcio runs a behaviour that bears this attribute in the pool that it names.
    vars(behave)["experimental_thread_pool"] = streams.pool
    return grpc.stream_stream_rpc_method_handler(behave)


def _unary(handler: Handler) -> _Behaviour:
    def behave(request: bytes, context: grpc.ServicerContext) -> bytes:
        return _answer(handler, request, context)

    return behave


def _exchange(handler: Handler) -> _StreamBehaviour:
    def behave(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        for request in requests:
            yield _answer(handler, request, context)

    return behave


def _watch(method: Watch) -> _StreamBehaviour:
    def behave(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        request = next(requests, None)
        if request is None or not context.add_callback(lambda: waiting.put(None)):
            return
        try:
            unsubscribe = method.subscribe(request, waiting.put)
        except CallFailed as failed:
            _fail(context, failed)
        try:
            while (message := waiting.get()) is not None:
                yield message
        finally:
            unsubscribe()

    return behave


def _answer(handler: Handler, request: bytes, context: grpc.ServicerContext) -> bytes:
    try:
        return handler(request, _ContextCall(context))
    except CallFailed as failed:
        _fail(context, failed)
    except Exception:
        _log.exception("a handler failed")
        _fail(context, _INTERNAL)


def _fail(context: grpc.ServicerContext, failed: CallFailed) -> NoReturn:
    if failed.details:
        context.set_trailing_metadata((("grpc-status-details-bin", failed.details),))
    context.abort(_CODES[failed.code], failed.message)


class _ContextCall:
    """`policyd.server.transport.Call` over a grpcio context."""

    __slots__ = ("_context",)

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context

    def metadata(self) -> Mapping[str, str | bytes]:
        return {item[0]: item[1] for item in self._context.invocation_metadata()}

    def time_remaining(self) -> float | None:
        remaining: float | None = self._context.time_remaining()
        # grpcio tells of a call without a deadline that it has a few hundred years.
        return None if remaining is None or remaining > _NO_DEADLINE else remaining
