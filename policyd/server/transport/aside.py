"""Large messages, answered in a separate thread beside the loop that answers all others.

The cost of a message is bounded by its size, but a caller may send many at a time. In the loop, a
few dozen would delay all callers for a second. In a separate thread they wait only for each other,
and Python switches between the loop and that thread after `sys.getswitchinterval`.

Invariants: each message that was put aside is answered, unless it is dropped or the transport is
closed before.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final, Generic, Protocol

from policyd.server.transport.interface import (
    CallFailed,
    Deferred,
    Deliver,
    WrittenT,
    start_deferred,
)

_log = logging.getLogger(__name__)
#: Bytes of a message that the loop answers by itself: a token, and a question of any usual size.
SMALL: Final = 16 * 1024
#: For a transport that has many threads: a thread that answers a large message holds it, so that
#: many of them do not take the interpreter by turns, and from all others.
ONE_AT_A_TIME: Final = threading.Lock()
#: Seconds that the answer under way is waited for at the end.
_LAST: Final = 1.0

AnswerNow = Callable[[], WrittenT | CallFailed | Deferred[WrittenT]]


class Asker(Protocol):
    """A call, as far as this has to tell calls apart."""

    def peer(self) -> bytes:
        """Return the connection that it came by."""
        ...


class Aside(Generic[WrittenT]):
    """The thread, and what waits for it: as many messages as there may be calls.

    The next message is one of the connection that had least of the thread's time since it last had
    nothing to do. So a caller that sends many waits for its own.
    """

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._waiting: dict[bytes, dict[Asker, tuple[AnswerNow[WrittenT], Deliver[WrittenT]]]] = {}
        self._spent: dict[bytes, float] = {}
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="large-messages", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more: nobody waits for it."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        if self._thread.ident is not None:
            self._thread.join(_LAST)

    def deferred(self, call: Asker, answer: AnswerNow[WrittenT]) -> Deferred[WrittenT]:
        """Return the answer that `answer` will give in the thread. A call has one at a time."""
        return Deferred(lambda deliver: self._put(call, answer, deliver))

    def drop(self, call: Asker) -> Deliver[WrittenT] | None:
        """Forget what waits of a call; return whom to tell, `None` where nothing waits."""
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
        """Wait for a message, and take it; `None` when there is an end."""
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
            del found, answer, deliver  # which hold a message


def _deliver(answer: AnswerNow[WrittenT], deliver: Deliver[WrittenT]) -> None:
    given = answer()
    if isinstance(given, Deferred):
        start_deferred(given, deliver)
    else:
        deliver(given)
