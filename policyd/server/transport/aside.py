"""Large messages, answered in a separate thread beside the loop that answers all others.

The cost of a message is bounded by its size, but a caller may send many at a time. In the loop, a
few dozen would delay all callers for a second. In a separate thread they wait only for each other,
and Python switches between the loop and that thread after `sys.getswitchinterval`.

Invariants: each message here is answered, unless it is dropped or the transport closes first.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol

from policyd.pdp.calls import CallFailed, Deferred, Deliver, WrittenT, start_deferred

_log = logging.getLogger(__name__)
#: The largest message, in bytes, that the loop itself answers: a token and a question of usual
#: size.
SMALL: Final = 16 * 1024
#: For a transport with many threads: a thread holds this lock while it answers a large message, so
#: that several large messages do not compete for the interpreter with all other calls.
ONE_AT_A_TIME: Final = threading.Lock()
#: Seconds to wait at the end for the answer that is being made.
_LAST: Final = 1.0

AnswerNow = Callable[[], WrittenT | CallFailed | Deferred[WrittenT]]


class Asker(Protocol):
    """A call, as this module needs it."""

    def peer(self) -> bytes:
        """Return the name of the call's connection."""
        ...


class Aside(Generic[WrittenT]):
    """The thread and its queue, which has room for one message of each call.

    The next message is one of the connection that has used the least of the thread's time since the
    thread was last idle. So a caller that sends many messages waits for its own.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[bytes, dict[Asker, tuple[AnswerNow[WrittenT], Deliver[WrittenT]]]] = {}
        self._spent: dict[bytes, float] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="large-messages", daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    def close(self) -> None:
        """Stop answering: no caller waits any more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(_LAST)

    def deferred(self, call: Asker, answer: AnswerNow[WrittenT]) -> Deferred[WrittenT]:
        """Return a deferred answer, which `answer` makes in the thread. A call has one at a
        time."""
        return Deferred(lambda deliver: self._put(call, answer, deliver))

    def drop(self, call: Asker) -> Deliver[WrittenT] | None:
        """Remove a call's message from the queue; return its `deliver`, or `None` if there is
        none."""
        with self._changed:
            peer = call.peer()
            found = self._waiting.get(peer, {}).pop(call, None)
            if not self._waiting.get(peer, True):
                del self._waiting[peer]
        return found and found[1]

    def _put(self, call: Asker, answer: AnswerNow[WrittenT], deliver: Deliver[WrittenT]) -> None:
        with self._changed:
            self._waiting.setdefault(call.peer(), {})[call] = (answer, deliver)
            self._changed.notify()

    def _next(self) -> tuple[bytes, AnswerNow[WrittenT], Deliver[WrittenT]] | None:
        """Wait for a message, and take it; `None` after `close`."""
        with self._changed:
            if not self._waiting:
                self._spent.clear()
            while not self._waiting and not self._closed:
                self._changed.wait()
            if self._closed:
                return None
            peer = min(self._waiting, key=lambda peer: self._spent.get(peer, 0.0))
            waiting = self._waiting[peer]
            answer, deliver = waiting.pop(next(iter(waiting)))
            if not waiting:
                del self._waiting[peer]
            return peer, answer, deliver

    def _run(self) -> None:
        while (found := self._next()) is not None:
            peer, answer, deliver = found
            begun = time.monotonic()
            try:
                _deliver(answer, deliver)
            except Exception:
                _log.exception("an answer could not be delivered")
            self._spent[peer] = self._spent.get(peer, 0.0) + time.monotonic() - begun
            del found, answer, deliver  # they hold a message


def _deliver(answer: AnswerNow[WrittenT], deliver: Deliver[WrittenT]) -> None:
    given = answer()
    if isinstance(given, Deferred):
        start_deferred(given, deliver)
    else:
        deliver(given)
