"""Large messages, answered in a separate thread beside the loop that answers all others.

The cost of a message is bounded by its size, but a caller may send many at a time. In the loop, a
few dozen would delay all callers for a second. In a separate thread they wait only for each other,
and Python switches between the loop and that thread after `sys.getswitchinterval`.

Invariants: each message that was put aside is answered, unless the transport is closed before.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from queue import SimpleQueue
from typing import Final

from policyd.server.transport.interface import CallFailed, Deferred, Deliver, start_deferred

_log = logging.getLogger(__name__)
#: Bytes of a message that the loop answers by itself: a token, and a question of any usual size.
SMALL: Final = 16 * 1024
#: For a transport that has many threads: whoever answers a large message holds it, so that many of
#: them do not take the interpreter by turns, and from all others.
ONE_AT_A_TIME: Final = threading.Lock()
#: Seconds that the answer under way is waited for at the end.
_LAST: Final = 1.0

AnswerNow = Callable[[], bytes | CallFailed | Deferred[bytes]]


class Aside:
    """The thread and its queue, which is as long as there may be calls."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[AnswerNow, Deliver[bytes]] | None] = SimpleQueue()
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="large-messages", daemon=True)

    def start(self) -> None:
        """Begin to answer."""
        self._thread.start()

    def close(self) -> None:
        """Answer no more: nobody waits for it."""
        self._closed = True
        self._waiting.put(None)
        if self._thread.ident is not None:
            self._thread.join(_LAST)

    def deferred(self, answer: AnswerNow) -> Deferred[bytes]:
        """Return the answer that `answer` will give in the thread."""
        return Deferred(lambda deliver: self._waiting.put((answer, deliver)))

    def _run(self) -> None:
        while (waiting := self._waiting.get()) is not None and not self._closed:
            try:
                _deliver(*waiting)
            except Exception:
                _log.exception("an answer could not be delivered")
            waiting = None  # which holds a message


def _deliver(answer: AnswerNow, deliver: Deliver[bytes]) -> None:
    given = answer()
    if isinstance(given, Deferred):
        start_deferred(given, deliver)
    else:
        deliver(given)
