"""The transport over grpcio's own synchronous server.

Unary calls run in a small pool, which grows where its threads are held up: a call whose message has
not arrived yet holds one, as is in the nature of grpcio's server. Exchanges and watches hold a
thread for as long as they last, so they have a pool of their own and can never starve unary calls;
one more than it bears is refused.

A unary call whose answer may come later is registered as a call with a stream of one answer: the
same to whoever calls, and grpcio lets such a call end from another thread, so that waiting holds
none. It costs a hand-over more, so only calls that may have to wait are registered that way.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import NoReturn, cast

import grpc

from policyd.server.transport.grpc_options import server_credentials, server_options
from policyd.server.transport.interface import (
    DEFECT,
    BindFailed,
    CallFailed,
    Exchange,
    Handler,
    Identity,
    Later,
    Limits,
    Method,
    Methods,
    Unary,
    Watch,
    put_off,
)
from policyd.server.transport.pool import Pool

_log = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_NO_DEADLINE = 1e9

_Behaviour = Callable[[bytes, grpc.ServicerContext], bytes]
_StreamBehaviour = Callable[[Iterator[bytes], grpc.ServicerContext], Iterator[bytes]]
#: Sends a message, or with `None` the status.
_SendResponse = Callable[[bytes | None], None]
_DeferredBehaviour = Callable[[bytes, grpc.ServicerContext, _SendResponse], None]


class StandardTransport:
    """`policyd.server.transport.interface.Transport` over `grpc.server`.

    `surplus` is what a stream past the limit is told.
    """

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed) -> None:
        self._pool = Pool(limits.threads, limits.calls)
        self._streams = _Streams(limits.streams)
        self._server = grpc.server(
            cast(ThreadPoolExecutor, self._pool),
            handlers=[_Table(methods, self._streams, surplus)],
            maximum_concurrent_rpcs=limits.calls + limits.streams,
            options=server_options(limits),
        )

    def bind(self, address: str, identity: Identity | None = None) -> str:
        """See `Transport.bind`."""
        try:
            if identity is None:
                port = self._server.add_insecure_port(address)
            else:
                port = self._server.add_secure_port(address, server_credentials(identity))
        except RuntimeError as error:
            raise BindFailed(str(error)) from error
        if address.startswith("unix:"):
            return address
        return f"{address.rpartition(':')[0]}:{port}"

    def start(self) -> None:
        """See `Transport.start`."""
        self._pool.start()
        self._server.start()

    def stop(self, grace: float) -> None:
        """See `Transport.stop`."""
        self._server.stop(grace).wait()
        self._pool.close()
        self._streams.pool.shutdown(wait=False, cancel_futures=True)


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
    if isinstance(method, Unary) and method.waits:
        answer = _unary_that_waits(method.handler)
        vars(answer)["experimental_non_blocking"] = True
        return grpc.unary_stream_rpc_method_handler(answer)
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


def _unary_that_waits(handler: Handler) -> _DeferredBehaviour:
    def behave(request: bytes, context: grpc.ServicerContext, send: _SendResponse) -> None:
        def deliver(answer: bytes | CallFailed) -> None:
            if isinstance(answer, bytes):
                send(answer)
            else:
                _set_failure(context, answer)
            send(None)

        answer = _run(handler, request, context)
        if isinstance(answer, Later):
            put_off(answer, deliver)
        else:
            deliver(answer)

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
    """Run a handler, and wait for its answer."""
    answer = _run(handler, request, context)
    if isinstance(answer, Later):
        delivered: queue.SimpleQueue[bytes | CallFailed] = queue.SimpleQueue()
        put_off(answer, delivered.put)
        answer = delivered.get()
    if isinstance(answer, CallFailed):
        _fail(context, answer)
    return answer


def _run(
    handler: Handler, request: bytes, context: grpc.ServicerContext
) -> bytes | CallFailed | Later:
    try:
        return handler(request, _ContextCall(context))
    except CallFailed as failed:
        return failed
    except Exception:
        _log.exception("a handler failed")
        return DEFECT


def _set_failure(context: grpc.ServicerContext, failed: CallFailed) -> None:
    """Leave the status with which the call will end."""
    if failed.details:
        context.set_trailing_metadata((("grpc-status-details-bin", failed.details),))
    context.set_code(_CODES[failed.code])
    context.set_details(failed.message)


def _fail(context: grpc.ServicerContext, failed: CallFailed) -> NoReturn:
    if failed.details:
        context.set_trailing_metadata((("grpc-status-details-bin", failed.details),))
    context.abort(_CODES[failed.code], failed.message)


class _ContextCall:
    """`policyd.server.transport.interface.Call` over a grpcio context."""

    __slots__ = ("_context",)

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context

    def metadata(self) -> Mapping[str, str | bytes]:
        return dict(self._context.invocation_metadata())

    def time_remaining(self) -> float | None:
        remaining: float | None = self._context.time_remaining()
        # grpcio tells of a call without a deadline that it has a few hundred years.
        return None if remaining is None or remaining > _NO_DEADLINE else remaining
