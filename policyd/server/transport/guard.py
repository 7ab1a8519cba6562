"""The `Room` of the standard transport, made safe for many threads, with a thread that ends overdue
calls.

One thread of grpcio's takes what has happened from a queue, in its order: new calls, messages that
have come, answers that were taken. Under load it is behind, and a call seems to wait for a caller
that has long done its part. How far behind it is, the new calls tell: grpcio asks gRPC for the next
one when it has taken one, so what had happened by then was in the queue before that next one.

Input: a call's context. Output: a `Visit`, which counts itself out when the call is over. A call
that must end is cancelled, because grpcio offers nothing else to other threads: its caller gets
CANCELLED, without a reason.
"""

from __future__ import annotations

import threading
import time
from functools import partial

import grpc

from policyd.config.limits import Limits
from policyd.pdp.calls import CallFailed
from policyd.server.transport.interface import ANYBODY, Door
from policyd.server.transport.places import Share
from policyd.server.transport.room import LOOK, Room

#: Additional seconds for a message that has arrived and waits for a thread or the interpreter.
_FAIR = 1.0
#: Seconds that grpcio's thread may be behind. Where no call came for longer, it was rather idle.
_MOST_BEHIND = 2.0


class Visit:
    """One call as a `policyd.server.transport.places.Tenant`."""

    __slots__ = ("_context", "_peer", "held", "share", "stuck_since")

    def __init__(self, context: grpc.ServicerContext) -> None:
        self._context = context
        self._peer: bytes | None = None
        self.share: Share | None = None
        self.held = 0
        self.stuck_since: float | None = None

    def peer(self) -> bytes:
        """See `Tenant.peer`."""
        if self._peer is None:
            peer: str = self._context.peer()
            self._peer = peer.encode()
        return self._peer

    def cancel(self, _failed: CallFailed) -> None:
        """See `Tenant.cancel`."""
        self._context.cancel()


class Guard:
    """Lets any thread use a room. `door` identifies callers; `looked` is when the thread last
    checked the time."""

    def __init__(self, limits: Limits, door: Door = ANYBODY) -> None:
        self.door = door
        self.room = Room(limits, _FAIR)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.looked = time.monotonic()
        # When the two latest calls were taken from the queue.
        self._taken = self._taken_before = self.looked
        self._thread = threading.Thread(target=self._look, name="call-times", daemon=True)

    def start(self) -> None:
        """Start the thread that ends overdue calls."""
        self._thread.start()

    def close(self) -> None:
        """Stop this thread."""
        self._closed.set()

    def take(self) -> None:
        """Note that grpcio's thread takes a call from its queue."""
        self._taken_before, self._taken = self._taken, time.monotonic()

    def enter(self, context: grpc.ServicerContext, share: Share) -> Visit | None:
        """Give a call a place until it is over; `None` if there is no place."""
        visit = Visit(context)
        with self._lock:
            self._pass_time()
            if not self.room.enter(visit, share):
                return None
        # A call that is already over does not run its callbacks.
        if not context.add_callback(partial(self._leave, visit)):
            self._leave(visit)
        return visit

    def receive(self, visit: Visit) -> None:
        """See `Room.receive`."""
        with self._lock:
            if visit.share is not None:
                self.room.receive(visit)

    def received(self, visit: Visit) -> None:
        """See `Room.received`."""
        with self._lock:
            self.room.received(visit)

    def send(self, visit: Visit, size: int) -> None:
        """See `Room.send`."""
        with self._lock:
            self._pass_time()
            self.room.send(visit, size)

    def stream(self, visit: Visit) -> None:
        """See `Room.stream`."""
        with self._lock:
            if visit.share is not None:
                self.room.stream(visit)

    def watch(self, visit: Visit) -> None:
        """See `Room.watch`."""
        with self._lock:
            self.room.watch(visit)

    def _pass_time(self) -> None:
        now = self.room.now = time.monotonic()
        self.room.behind = min(now - self._taken_before, _MOST_BEHIND)

    def _leave(self, visit: Visit) -> None:
        with self._lock:
            self.room.leave(visit)

    def _look(self) -> None:
        while not self._closed.wait(LOOK):
            with self._lock:
                self.room.now = self.looked = time.monotonic()
                self.room.look()
