"""The transport over grpcio's own synchronous server.

Unary calls run in a small pool, which grows if its threads are blocked: in grpcio's server, a call
occupies a thread even before its message arrives. Exchanges and watches occupy a thread for as long
as they last. So they have their own pool, and can never starve unary calls; a stream past its limit
is refused.

A unary call is registered as a call with a stream of one message. Callers see no difference, but
grpcio then reports the call before its message has arrived, so that a call without a message can be
ended. A method whose answers may be deferred is also registered with a stream of one answer:
grpcio lets another thread end such a call, so that waiting occupies no thread. That costs an
additional hand-over, so only methods that may have to wait are registered that way.
"""

from __future__ import annotations

import logging
import queue
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import NoReturn, cast

import grpc

from policyd.config.limits import Limits
from policyd.pdp.calls import DEFECT, CallFailed, Deferred, start_deferred
from policyd.pdp.priority import made_standing_back
from policyd.server.transport.aside import ONE_AT_A_TIME, SMALL
from policyd.server.transport.grpc_options import CERTIFICATE, server_credentials, server_options
from policyd.server.transport.guard import Guard, Visit
from policyd.server.transport.interface import (
    ANYBODY,
    NO_MESSAGE,
    BindFailed,
    CurrentIdentity,
    Door,
    Exchange,
    Handler,
    Method,
    Methods,
    Settling,
    Unary,
    Watch,
)
from policyd.server.transport.pool import Pool
from policyd.server.transport.room import BUSY, MOST_WAITING, NOT_TAKEN

_log = logging.getLogger(__name__)
_CODES = {code.value[0]: code for code in grpc.StatusCode}
_NO_DEADLINE = 1e9
#: Additional threads, in which calls past a limit are refused.
_SPARE = 4
#: How much nicer gRPC's threads are. On one core they would else read calls of a flood faster than
#: grpcio's takes them over; past a number that wait for that, gRPC refuses anybody's, by chance.
_GRPC_STANDS_BACK = 10

_Behaviour = Callable[[Iterator[bytes], grpc.ServicerContext], bytes]
_StreamBehaviour = Callable[[Iterator[bytes], grpc.ServicerContext, Visit], Iterator[bytes]]
#: Sends a message, or with `None` the status.
_SendResponse = Callable[[bytes | None], None]
_DeferredBehaviour = Callable[[Iterator[bytes], grpc.ServicerContext, _SendResponse], None]


class StandardTransport:
    """`policyd.server.transport.interface.Transport` over `grpc.server`.

    `surplus` is the failure of a stream past the limit; `door` identifies callers.
    """

    def __init__(
        self, methods: Methods, limits: Limits, surplus: CallFailed, door: Door = ANYBODY
    ) -> None:
        # A few threads more than calls: these find room, or refuse the call.
        self._pool = Pool(limits.threads, limits.calls + limits.apart + _SPARE)
        self._guard = Guard(limits, door)
        self._streams = ThreadPoolExecutor(
            2 * limits.streams + limits.apart + _SPARE, thread_name_prefix="stream"
        )
        make = partial(self._make, methods, limits, surplus)
        self._server = made_standing_back(_GRPC_STANDS_BACK, make)

    def _make(self, methods: Methods, limits: Limits, surplus: CallFailed) -> grpc.Server:
        return grpc.server(
            cast(ThreadPoolExecutor, self._pool),
            handlers=[_Table(methods, self._streams, self._guard, surplus)],
            # Twice as many as there is room for: each of the others is refused in its thread.
            maximum_concurrent_rpcs=2 * (limits.calls + 2 * limits.streams + 2 * limits.apart),
            options=server_options(limits),
        )

    def bind(self, address: str, identity: CurrentIdentity | None = None) -> str:
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

    def settle_with(self, settling: Settling) -> None:
        """See `Transport.settle_with`: each handler has a thread, and settles its own answer."""

    def start(self) -> None:
        """See `Transport.start`."""
        self._pool.start()
        self._guard.start()
        self._server.start()

    def stop(self, grace: float) -> None:
        """See `Transport.stop`."""
        self._server.stop(grace).wait()
        self._guard.close()
        self._pool.close()
        self._streams.shutdown(wait=False, cancel_futures=True)

    def turned(self) -> float:
        """See `Transport.turned`."""
        return self._guard.looked


class _Table(grpc.GenericRpcHandler):
    """Looks methods up. grpcio calls it on its polling thread, so it must not wait."""

    def __init__(
        self, methods: Methods, streams: ThreadPoolExecutor, guard: Guard, surplus: CallFailed
    ) -> None:
        self._guard = guard
        self._handlers = {
            name: _rpc_handler(method, streams, guard, surplus) for name, method in methods.items()
        }

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        self._guard.take()
        return self._handlers.get(handler_call_details.method)


def _rpc_handler(
    method: Method, streams: ThreadPoolExecutor, guard: Guard, surplus: CallFailed
) -> grpc.RpcMethodHandler[bytes, bytes]:
    if isinstance(method, Unary) and method.waits:
        answer = _unary_that_waits(method, guard)
        vars(answer)["experimental_non_blocking"] = True
        return grpc.stream_stream_rpc_method_handler(answer)
    if isinstance(method, Unary):
        return grpc.stream_unary_rpc_method_handler(_unary(method, guard))
    run = _exchange(method, guard) if isinstance(method, Exchange) else _watch(method, guard)
    room = guard.room
    share = room.watches if isinstance(method, Watch) else room.streams
    if isinstance(method, Exchange) and method.apart:
        share = room.streams_apart

    def behave(requests: Iterator[bytes], context: grpc.ServicerContext) -> Iterator[bytes]:
        visit = guard.enter(context, share)
        if visit is None:
            _fail(context, surplus)
        return run(requests, context, visit)

    # grpcio runs a behaviour with this attribute in the pool that it names.
    vars(behave)["experimental_thread_pool"] = streams
    return grpc.stream_stream_rpc_method_handler(behave)


def _unary(method: Unary, guard: Guard) -> _Behaviour:
    def behave(requests: Iterator[bytes], context: grpc.ServicerContext) -> bytes:
        visit, request = _received(method, guard, requests, context)
        answer = _answer(method.handler, request, context, guard.door)
        guard.send(visit, len(answer))
        return answer

    return behave


def _received(
    method: Unary, guard: Guard, requests: Iterator[bytes], context: grpc.ServicerContext
) -> tuple[Visit, bytes]:
    """Admit a call, and wait for its message."""
    visit = guard.enter(context, guard.room.calls_apart if method.apart else guard.room.calls)
    if visit is None:
        _fail(context, BUSY)
    guard.receive(visit)
    request = next(requests, None)
    guard.received(visit)
    if request is None:
        _fail(context, NO_MESSAGE)
    return visit, request


def _unary_that_waits(method: Unary, guard: Guard) -> _DeferredBehaviour:
    def behave(
        requests: Iterator[bytes], context: grpc.ServicerContext, send: _SendResponse
    ) -> None:
        visit, request = _received(method, guard, requests, context)

        def deliver(answer: bytes | CallFailed) -> None:
            if isinstance(answer, bytes):
                guard.send(visit, len(answer))
                send(answer)
            else:
                _set_failure(context, answer)
            send(None)

        answer = _run(method.handler, request, context, guard.door)
        if isinstance(answer, Deferred):
            start_deferred(answer, deliver)
        else:
            deliver(answer)

    return behave


def _exchange(method: Exchange, guard: Guard) -> _StreamBehaviour:
    def behave(
        requests: Iterator[bytes], context: grpc.ServicerContext, visit: Visit
    ) -> Iterator[bytes]:
        guard.stream(visit)
        for request in requests:
            guard.stream(visit)
            yield _answer(method.handler, request, context, guard.door)

    return behave


def _watch(method: Watch, guard: Guard) -> _StreamBehaviour:
    def behave(
        requests: Iterator[bytes], context: grpc.ServicerContext, visit: Visit
    ) -> Iterator[bytes]:
        waiting: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()

        def send(message: bytes) -> None:
            waiting.put(message)
            if waiting.qsize() > MOST_WAITING:
                visit.cancel(NOT_TAKEN)

        guard.receive(visit)
        request = next(requests, None)
        guard.received(visit)
        guard.watch(visit)
        if request is None or not context.add_callback(lambda: waiting.put(None)):
            return
        try:
            unsubscribe = method.subscribe(request, send)
        except CallFailed as failed:
            _fail(context, failed)
        try:
            while (message := waiting.get()) is not None:
                visit.stuck_since = guard.room.now
                yield message
                visit.stuck_since = None
        finally:
            unsubscribe()

    return behave


def _answer(handler: Handler, request: bytes, context: grpc.ServicerContext, door: Door) -> bytes:
    """Run a handler, and wait for its answer."""
    answer = _run(handler, request, context, door)
    if isinstance(answer, Deferred):
        delivered: queue.SimpleQueue[bytes | CallFailed] = queue.SimpleQueue()
        start_deferred(answer, delivered.put)
        answer = delivered.get()
    if isinstance(answer, CallFailed):
        _fail(context, answer)
    return answer


def _run(
    handler: Handler, request: bytes, context: grpc.ServicerContext, door: Door
) -> bytes | CallFailed | Deferred[bytes]:
    try:
        if len(request) > SMALL:
            with ONE_AT_A_TIME:
                return handler(request, _ContextCall(context, door))
        return handler(request, _ContextCall(context, door))
    except CallFailed as failed:
        return failed.kept()
    except Exception:
        _log.exception("a handler failed")
        return DEFECT


def _set_failure(context: grpc.ServicerContext, failed: CallFailed) -> None:
    """Set the status with which the call will end."""
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

    __slots__ = ("_context", "_door")

    def __init__(self, context: grpc.ServicerContext, door: Door) -> None:
        self._context = context
        self._door = door

    def metadata(self) -> Mapping[str, str | bytes]:
        return dict(self._context.invocation_metadata())

    def time_remaining(self) -> float | None:
        remaining: float | None = self._context.time_remaining()
        # grpcio gives a call without a deadline a few hundred years.
        return None if remaining is None or remaining > _NO_DEADLINE else remaining

    def caller(self) -> str:
        if self._door.everyone is not None:
            return self._door.everyone
        shown = self._context.auth_context().get(CERTIFICATE)
        certificate = next(iter(shown or ()), b"")
        return self._door.caller(certificate if isinstance(certificate, bytes) else b"")
