"""The transport over gRPC core's completion queue: one thread, no hand-over.

grpcio's own server passes each call from a polling thread to a pool and back, under several locks,
and that costs more than a check does. Here one thread polls the queue and runs the handlers in
place. A call that has sent its headers and no message holds an object, and no thread. A stream is a
few fields, advanced by the same loop. Whoever brings a later answer starts the batch that sends it.

The layer below (`grpc._cython.cygrpc`) is private to grpcio, though stable over years of releases.
So the daemon tries it at each start (`selftest`) and serves over `standard` where it does not do
what is expected. `grpc_core` names what is used of it.

Invariants: state is touched by the loop's thread alone, but for a watch's queue, which has a lock,
and a call that was put off, which is its deliverer's; one batch of a kind is under way on a call at
a time; no event keeps a call alive after its end.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import cast

from policyd.server.transport.grpc_core import Credentials, Event, Operation, load_core
from policyd.server.transport.grpc_options import server_credentials, server_options
from policyd.server.transport.interface import (
    DEFECT,
    BindFailed,
    CallFailed,
    Deliver,
    Exchange,
    Handler,
    Identity,
    Later,
    Limits,
    Method,
    Methods,
    StatusCode,
    Unary,
    Unsubscribe,
    Watch,
    put_off,
)

_log = logging.getLogger(__name__)
_NO_MESSAGE = CallFailed(StatusCode.UNIMPLEMENTED, "the call brought no message")
_NO_METHOD = CallFailed(StatusCode.UNIMPLEMENTED, "there is no such method")
_BUSY = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "too many calls at a time")
_FLAGS = 0
_FOREVER = 1e9
_OK = 0


class EventTransport:
    """`policyd.server.transport.interface.Transport` over a completion queue.

    `surplus` is what a stream past the limit is told.
    """

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed) -> None:
        self._loop = _Loop(methods, limits, surplus)

    def bind(self, address: str, identity: Identity | None = None) -> str:
        """See `Transport.bind`."""
        port = self._loop.bind(address, identity)
        if address.startswith("unix:"):
            return address
        return f"{address.rpartition(':')[0]}:{port}"

    def start(self) -> None:
        """See `Transport.start`."""
        self._loop.start()

    def stop(self, grace: float) -> None:
        """See `Transport.stop`."""
        self._loop.stop(grace)


class _Loop:
    """The server, its queue, and the thread that polls it."""

    def __init__(self, methods: Methods, limits: Limits, surplus: CallFailed) -> None:
        core = self.core = load_core()
        self._methods = {name.encode(): method for name, method in methods.items()}
        self._limits = limits
        self._surplus = surplus
        self._queue = core.CompletionQueue()
        self._server = core.Server(server_options(limits), False)
        self._server.register_completion_queue(self._queue)
        self._thread = threading.Thread(target=self._run, name="calls", daemon=True)
        self._ended = threading.Event()
        self._stopping = False
        self._closed = False
        self._closing = threading.Lock()
        self.unary = 0
        self.streams = 0
        # Made once: a batch may share what it does not change.
        self.receive_close = core.ReceiveCloseOnServerOperation
        self.no_metadata = core.SendInitialMetadataOperation(None, _FLAGS)
        self.status_ok = core.SendStatusFromServerOperation(None, _OK, b"", _FLAGS)

    def bind(self, address: str, identity: Identity | None) -> int:
        try:
            if identity is None:
                port = self._server.add_http2_port(address.encode())
            else:
                credentials = cast(Credentials, server_credentials(identity))._credentials
                port = self._server.add_http2_port(address.encode(), credentials)
        except RuntimeError as error:
            raise BindFailed(str(error)) from error
        if not port:
            raise BindFailed(f"Failed to bind to address {address}")
        return port

    def start(self) -> None:
        self._server.start()
        self._request_call()
        self._thread.start()

    def stop(self, grace: float) -> None:
        self._stopping = True
        if self._thread.ident is None:  # never started
            self._server.start()
            self._thread.start()
        self._server.shutdown(self._queue, self._on_shut_down)
        if not self._ended.wait(grace):
            self._server.cancel_all_calls()
            self._ended.wait()
        with self._closing:
            self._closed = True
        self._server.destroy()
        self._queue.shutdown()
        self._thread.join()

    def put_off(self, later: Later, deliver: Deliver) -> None:
        """Have an answer brought to `deliver`, by whichever thread."""

        def unless_closed(answer: bytes | CallFailed) -> None:
            # A call ends with the server, and a batch on a queue that is shut down would abort.
            with self._closing:
                if not self._closed:
                    deliver(answer)

        put_off(later, unless_closed)

    def _run(self) -> None:
        poll = self._queue.poll
        while True:
            event = poll()
            tag = event.tag
            if tag is None:  # the queue is shut down and empty
                return
            try:
                cast("Callable[[Event], None]", tag)(event)
            except Exception:
                _log.exception("a call could not be advanced")
            # The next poll may be long, and an event keeps its call alive.
            del event, tag

    def _request_call(self) -> None:
        self._server.request_call(self._queue, self._queue, self._on_call)

    def _on_shut_down(self, _event: Event) -> None:
        """The server takes no more calls, and all that were there have ended."""
        self._ended.set()

    def _on_call(self, event: Event) -> None:
        if not event.success:  # the server stops
            return
        if not self._stopping:
            self._request_call()
        method = self._methods.get(event.call_details.method)
        call = _Call(self, event)
        if method is None:
            call.refuse(_NO_METHOD)
        elif isinstance(method, Unary):
            self._on_unary(call, method.handler)
        elif self.streams >= self._limits.streams:
            call.refuse(self._surplus)
        else:
            self._on_stream(call, method)

    def _on_unary(self, call: _Call, handler: Handler) -> None:
        if self.unary >= self._limits.calls:
            call.refuse(_BUSY)
            return
        self.unary += 1
        call.begin_unary(handler)

    def _on_stream(self, call: _Call, method: Method) -> None:
        self.streams += 1
        if isinstance(method, Exchange):
            call.begin_exchange(method.handler)
        elif isinstance(method, Watch):
            _Watching(self, call, method).begin()


class _Call:
    """One call; also what its handler sees of it (`policyd.server.transport.interface.Call`)."""

    __slots__ = ("_core_call", "_deadline", "_handler", "_loop", "_metadata")

    def __init__(self, loop: _Loop, event: Event) -> None:
        self._loop = loop
        self._core_call = event.call
        self._metadata = event.invocation_metadata
        self._deadline = event.call_details.deadline
        self._handler: Handler

    # -- what a handler sees -------------------------------------------------------------------

    def metadata(self) -> Mapping[str, str | bytes]:
        """See `Call.metadata`."""
        return {item[0]: item[1] for item in self._metadata}

    def time_remaining(self) -> float | None:
        """See `Call.time_remaining`."""
        remaining = self._deadline - time.time()
        # A call without a deadline has one at the end of time.
        return max(0.0, remaining) if remaining < _FOREVER else None

    # -- endings -------------------------------------------------------------------------------

    def batch(self, tag: Callable[[Event], None], *operations: Operation) -> None:
        """Start a batch of operations; `tag` is called when all are done."""
        self._core_call.start_server_batch(operations, tag)

    def refuse(self, failed: CallFailed) -> None:
        """End a call that was never begun."""
        loop = self._loop
        self.batch(_ignore, loop.no_metadata, loop.receive_close(_FLAGS), self.status(failed))

    def status(self, failed: CallFailed) -> Operation:
        trailers = (("grpc-status-details-bin", failed.details),) if failed.details else None
        return self._loop.core.SendStatusFromServerOperation(
            trailers, int(failed.code), failed.message.encode(), _FLAGS
        )

    def answer(self, handler: Handler, message: bytes) -> bytes | CallFailed | Later:
        """Run a handler."""
        try:
            return handler(message, self)
        except CallFailed as failed:
            return failed
        except Exception:
            _log.exception("a handler failed")
            return DEFECT

    # -- unary: receive, then everything else in one batch ---------------------------------------

    def begin_unary(self, handler: Handler) -> None:
        self._handler = handler
        self.batch(self._on_request, self._loop.core.ReceiveMessageOperation(_FLAGS))

    def _on_request(self, event: Event) -> None:
        message = event.batch_operations[0].message()
        self._answer_unary(_NO_MESSAGE if message is None else self.answer(self._handler, message))

    def _answer_unary(self, answer: bytes | CallFailed | Later) -> None:
        loop = self._loop
        if isinstance(answer, bytes):
            self.batch(
                self._on_unary_end,
                loop.no_metadata,
                loop.core.SendMessageOperation(answer, _FLAGS),
                loop.status_ok,
                loop.receive_close(_FLAGS),
            )
        elif isinstance(answer, CallFailed):
            end = self._on_unary_end
            self.batch(end, loop.no_metadata, self.status(answer), loop.receive_close(_FLAGS))
        else:
            loop.put_off(answer, self._answer_unary)

    def _on_unary_end(self, _event: Event) -> None:
        self._loop.unary -= 1

    # -- exchange: each answer goes out in one batch with the wait for the next question -----------

    def begin_exchange(self, handler: Handler) -> None:
        self._handler = handler
        core = self._loop.core
        self.batch(
            self._on_first_question, self._loop.no_metadata, core.ReceiveMessageOperation(_FLAGS)
        )

    def _on_first_question(self, event: Event) -> None:
        self._on_question(event.batch_operations[1].message())

    def _on_next_question(self, event: Event) -> None:
        self._on_question(event.batch_operations[1].message() if event.success else None)

    def _on_question(self, message: bytes | None) -> None:
        if message is None:  # the caller has no more, or is gone
            loop = self._loop
            self.batch(self._on_exchange_end, loop.status_ok, loop.receive_close(_FLAGS))
            return
        self._answer_question(self.answer(self._handler, message))

    def _answer_question(self, answer: bytes | CallFailed | Later) -> None:
        loop = self._loop
        if isinstance(answer, bytes):
            self.batch(
                self._on_next_question,
                loop.core.SendMessageOperation(answer, _FLAGS),
                loop.core.ReceiveMessageOperation(_FLAGS),
            )
        elif isinstance(answer, CallFailed):
            self.batch(self._on_exchange_end, self.status(answer), loop.receive_close(_FLAGS))
        else:
            loop.put_off(answer, self._answer_question)

    def _on_exchange_end(self, _event: Event) -> None:
        self._loop.streams -= 1


class _Watching:
    """A watch: what is sent waits its turn here, from whichever thread it comes."""

    def __init__(self, loop: _Loop, call: _Call, method: Watch) -> None:
        self._loop = loop
        self._call = call
        self._method = method
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._sending = False
        self._closed = False
        self._unsubscribe: Unsubscribe | None = None

    def begin(self) -> None:
        loop = self._loop
        self._call.batch(self._on_close, loop.receive_close(_FLAGS))
        self._call.batch(self._on_request, loop.core.ReceiveMessageOperation(_FLAGS))

    def _on_request(self, event: Event) -> None:
        message = event.batch_operations[0].message()
        if message is None:
            self._end(_NO_MESSAGE)
            return
        with self._lock:
            self._sending = True
        self._call.batch(self._on_sent, self._loop.no_metadata)
        try:
            unsubscribe = self._method.subscribe(message, self._send)
        except CallFailed as failed:
            self._end(failed)
            return
        except Exception:
            _log.exception("a handler failed")
            self._end(DEFECT)
            return
        with self._lock:
            closed = self._closed
            self._unsubscribe = unsubscribe
        if closed:
            unsubscribe()

    def _send(self, message: bytes) -> None:
        with self._lock:
            if self._closed:
                return
            if self._sending:
                self._waiting.append(message)
                return
            self._sending = True
        self._call.batch(self._on_sent, self._loop.core.SendMessageOperation(message, _FLAGS))

    def _on_sent(self, _event: Event) -> None:
        with self._lock:
            if self._closed or not self._waiting:
                self._sending = False
                return
            message = self._waiting.popleft()
        self._call.batch(self._on_sent, self._loop.core.SendMessageOperation(message, _FLAGS))

    def _end(self, failed: CallFailed) -> None:
        with self._lock:
            self._closed = True
        self._call.batch(_ignore, self._call.status(failed))

    def _on_close(self, _event: Event) -> None:
        """The caller is gone, the server stops, or the end was sent."""
        self._loop.streams -= 1
        with self._lock:
            self._closed = True
            self._waiting.clear()
            unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()


def _ignore(_event: Event) -> None:
    """Nothing waits for this."""
