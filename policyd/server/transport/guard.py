"""The room of the standard transport, for many threads, and the thread that looks at its clock.

Input: a call's context. Output: a `Visit`, which counts itself out when the call is over. A call
that must end is cancelled, the only way that grpcio has from outside of its thread: its caller is
told CANCELLED, and no reason.
"""

from __future__ import annotations

import threading
import time
from functools import partial

import grpc

from policyd.server.transport.interface import ANYBODY, CallFailed, Door, Limits
from policyd.server.transport.places import Share
from policyd.server.transport.room import LOOK, Room

#: Seconds; a message that is there may wait for a thread, and for the interpreter.
_FAIR = 1.0


class Visit:
    """One call, as its room sees it (`policyd.server.transport.room.Tenant`)."""

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
    """Lets any thread use a room. `door` tells who calls, `looked` when time was last looked at."""

    def __init__(self, limits: Limits, door: Door = ANYBODY) -> None:
        self.door = door
        self.room = Room(limits, _FAIR)
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self.looked = time.monotonic()
        self._thread = threading.Thread(target=self._look, name="call-times", daemon=True)

    def start(self) -> None:
        """Start to end calls whose time is over."""
        self._thread.start()

    def close(self) -> None:
        """End no more calls."""
        self._closed.set()

    def enter(self, context: grpc.ServicerContext, share: Share) -> Visit | None:
        """Give a call a place until it is over; `None` where there is none."""
        visit = Visit(context)
        with self._lock:
            self.room.now = time.monotonic()
            if not self.room.enter(visit, share):
                return None
        # What is over already calls nobody back.
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
            self.room.now = time.monotonic()
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

    def _leave(self, visit: Visit) -> None:
        with self._lock:
            self.room.leave(visit)

    def _look(self) -> None:
        while not self._closed.wait(LOOK):
            with self._lock:
                self.room.now = self.looked = time.monotonic()
                self.room.look()
