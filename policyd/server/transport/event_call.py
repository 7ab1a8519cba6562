"""The calls of the event transport. Each is advanced by its events.

Invariants: only the loop's thread uses them, except a watch's queue, which has a lock, and a
deferred call, which belongs to the thread that delivers its answer. At most one batch of a kind is
in progress on a call. No event keeps a call alive after the call has ended.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Mapping
from typing import Protocol

from policyd.pdp.calls import DEFECT, CallFailed, Deferred, start_deferred
from policyd.server.transport.grpc_core import Core, Event, Operation
from policyd.server.transport.grpc_options import CERTIFICATE
from policyd.server.transport.interface import NO_MESSAGE, Door, Handler, Unsubscribe, Watch
from policyd.server.transport.places import Share
from policyd.server.transport.room import MOST_WAITING, NOT_TAKEN, Room

_log = logging.getLogger(__name__)
_FOREVER = 1e9
FLAGS = 0
_CERTIFICATE = CERTIFICATE.encode()

HandlerAnswer = bytes | CallFailed | Deferred[bytes]
SendAnswer = Callable[[HandlerAnswer], None]


class Loop(Protocol):
    """The loop, as calls need it.

    A call tells `room` what it waits for, and when it is over. The operations are made once,
    because batches may share operations that they do not change. After `closed` is set, which only
    happens under `closing`, the queue is or will be shut down.
    """

    closing: threading.Lock
    closed: bool
    core: Core
    door: Door
    room: Room
    receive_close: Callable[[int], Operation]
    no_metadata: Operation
    status_ok: Operation

    def ask(self, call: EventCall, message: bytes, send: SendAnswer) -> None:
        """Run a call's handler at the end of the turn, and pass its answer to `send`."""
        ...

    def forget(self, call: EventCall) -> None:
        """Release the message of a call that was ended for others."""
        ...


class EventCall:
    """One call. Its handler sees it as a `policyd.server.transport.interface.Call`."""

    __slots__ = (
        "_core_call",
        "_deadline",
        "_handler",
        "_loop",
        "_metadata",
        "_peer",
        "held",
        "share",
    )
    stuck_since = None

    def __init__(self, loop: Loop, event: Event) -> None:
        self._loop = loop
        self._core_call = event.call
        self._metadata = event.invocation_metadata
        self._deadline = event.call_details.deadline
        self._handler: Handler
        self._peer: bytes
        self.share: Share | None = None
        self.held = 0

    # -- what a handler sees -------------------------------------------------------------------

    def metadata(self) -> Mapping[str, str | bytes]:
        """See `Call.metadata`."""
        return dict(self._metadata)

    def time_remaining(self) -> float | None:
        """See `Call.time_remaining`."""
        remaining = self._deadline - time.time()
        # gRPC gives a call without a deadline one at the end of time.
        return max(0.0, remaining) if remaining < _FOREVER else None

    def caller(self) -> str:
        """See `Call.caller`."""
        loop = self._loop
        everyone = loop.door.everyone
        if everyone is not None:
            return everyone
        shown = loop.core.auth_context(self._core_call).get(_CERTIFICATE)
        return loop.door.caller(shown[0] if shown else b"")

    # -- what its room sees of it --------------------------------------------------------------

    def peer(self) -> bytes:
        """See `Tenant.peer`."""
        try:
            return self._peer
        except AttributeError:
            self._peer = self._core_call.peer()
            return self._peer

    def cancel(self, failed: CallFailed) -> None:
        """See `Tenant.cancel`. Batches in progress end without success."""
        loop = self._loop
        with loop.closing:
            if not loop.closed:
                self._core_call.cancel(int(failed.code), failed.message)
        loop.forget(self)

    # -- endings -------------------------------------------------------------------------------

    def batch(self, tag: Callable[[Event], None], *operations: Operation) -> None:
        """Start a batch of operations; `tag` is called when all are done, unless the queue is shut
        down before."""
        loop = self._loop
        with loop.closing:
            if not loop.closed:  # else the batch would abort the process
                self._core_call.start_server_batch(operations, tag)

    def refuse(self, failed: CallFailed) -> None:
        """End a call that was never begun."""
        self._metadata = ()  # they are not needed, and may be large
        loop = self._loop
        self.batch(ignore, loop.no_metadata, loop.receive_close(FLAGS), self.status(failed))

    def status(self, failed: CallFailed) -> Operation:
        trailers = (("grpc-status-details-bin", failed.details),) if failed.details else None
        return self._loop.core.SendStatusFromServerOperation(
            trailers, int(failed.code), failed.message.encode(), FLAGS
        )

    def answer(self, message: bytes) -> HandlerAnswer:
        """Run the handler."""
        try:
            return self._handler(message, self)
        except CallFailed as failed:
            return failed.kept()
        except Exception:
            _log.exception("a handler failed")
            return DEFECT

    # -- unary: receive, then everything else in one batch ---------------------------------------

    def begin_unary(self, handler: Handler) -> None:
        self._handler = handler
        self._loop.room.receive(self)
        self.batch(self._on_request, self._loop.core.ReceiveMessageOperation(FLAGS))

    def _on_request(self, event: Event) -> None:
        loop = self._loop
        loop.room.received(self)
        message = event.batch_operations[0].message()
        if message is None:
            self._answer_unary(NO_MESSAGE)
        else:
            loop.ask(self, message, self._answer_unary)

    def _answer_unary(self, answer: HandlerAnswer) -> None:
        if isinstance(answer, Deferred):
            start_deferred(answer, self._answer_from_elsewhere)
            return
        self._loop.room.send(self, len(answer) if isinstance(answer, bytes) else 0)
        self._end_unary(answer)

    def _answer_from_elsewhere(self, answer: bytes | CallFailed) -> None:
        size = len(answer) if isinstance(answer, bytes) else 0
        self._loop.room.send_from_elsewhere(self, size)
        self._end_unary(answer)

    def _end_unary(self, answer: bytes | CallFailed) -> None:
        loop = self._loop
        if isinstance(answer, bytes):
            self.batch(
                self._on_end,
                loop.no_metadata,
                loop.core.SendMessageOperation(answer, FLAGS),
                loop.status_ok,
                loop.receive_close(FLAGS),
            )
        else:
            end = self._on_end
            self.batch(end, loop.no_metadata, self.status(answer), loop.receive_close(FLAGS))

    def _on_end(self, _event: Event) -> None:
        self._loop.room.leave(self)

    # -- exchange: each answer goes out in one batch with the wait for the next question -----------

    def begin_exchange(self, handler: Handler) -> None:
        self._handler = handler
        core = self._loop.core
        self._loop.room.stream(self)
        self.batch(
            self._on_first_question, self._loop.no_metadata, core.ReceiveMessageOperation(FLAGS)
        )

    def _on_first_question(self, event: Event) -> None:
        self._on_question(event.batch_operations[1].message())

    def _on_next_question(self, event: Event) -> None:
        self._on_question(event.batch_operations[1].message() if event.success else None)

    def _on_question(self, message: bytes | None) -> None:
        if message is None:  # the caller has no more questions, or is gone
            loop = self._loop
            self.batch(self._on_end, loop.status_ok, loop.receive_close(FLAGS))
            return
        self._loop.room.stream(self)
        self._loop.ask(self, message, self._answer_question)

    def _answer_question(self, answer: HandlerAnswer) -> None:
        loop = self._loop
        if self.held and not isinstance(answer, Deferred):
            loop.room.answered_from_elsewhere(self)
        if isinstance(answer, bytes):
            self.batch(
                self._on_next_question,
                loop.core.SendMessageOperation(answer, FLAGS),
                loop.core.ReceiveMessageOperation(FLAGS),
            )
        elif isinstance(answer, CallFailed):
            self.batch(self._on_end, self.status(answer), loop.receive_close(FLAGS))
        else:
            start_deferred(answer, self._answer_question)


class Watching:
    """A watch. It queues the messages that any thread sends.

    `stuck_since` is the time since which a message waits for the caller to take it.
    """

    def __init__(self, loop: Loop, call: EventCall, method: Watch) -> None:
        self._loop = loop
        self._call = call
        self._method = method
        self._lock = threading.Lock()
        self._waiting: deque[bytes] = deque()
        self._closed = False
        self._unsubscribe: Unsubscribe | None = None
        self.share: Share | None = None
        self.held = 0
        self.stuck_since: float | None = None
        self.peer = call.peer
        self.cancel = call.cancel

    def begin(self) -> None:
        loop = self._loop
        loop.room.receive(self)
        self._call.batch(self._on_close, loop.receive_close(FLAGS))
        self._call.batch(self._on_request, loop.core.ReceiveMessageOperation(FLAGS))

    def _on_request(self, event: Event) -> None:
        message = event.batch_operations[0].message()
        self._loop.room.received(self)
        self._loop.room.watch(self)
        if message is None:
            self._end(NO_MESSAGE)
            return
        with self._lock:
            self.stuck_since = self._loop.room.now
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
            if self.stuck_since is not None:
                self._waiting.append(message)
                if len(self._waiting) <= MOST_WAITING:
                    return
                self._closed = True
            else:
                self.stuck_since = self._loop.room.now
        if self._closed:
            self.cancel(NOT_TAKEN)
        else:
            self._send_now(message)

    def _on_sent(self, _event: Event) -> None:
        with self._lock:
            if self._closed or not self._waiting:
                self.stuck_since = None
                return
            message = self._waiting.popleft()
            self.stuck_since = self._loop.room.now
        self._send_now(message)

    def _send_now(self, message: bytes) -> None:
        self._call.batch(self._on_sent, self._loop.core.SendMessageOperation(message, FLAGS))

    def _end(self, failed: CallFailed) -> None:
        with self._lock:
            self._closed = True
            self.stuck_since = self._loop.room.now
        self._call.batch(ignore, self._call.status(failed))

    def _on_close(self, _event: Event) -> None:
        """The caller is gone, the server is stopping, or the end was sent."""
        self._loop.room.leave(self)
        with self._lock:
            self._closed = True
            self._waiting.clear()
            unsubscribe, self._unsubscribe = self._unsubscribe, None
        if unsubscribe is not None:
            unsubscribe()


def ignore(_event: Event) -> None:
    """Ignore the end of a batch that needs no further step."""
