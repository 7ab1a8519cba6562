"""Refusals of calls, sent at a bounded rate.

A caller whose calls are refused at once opens the next ones at once, and each refusal takes longer
than a check. So when many calls are refused, the refusals wait: a caller who has a connection full
of refused calls opens no more of them. A few refusals are sent at once, so that a caller that asks
too much for a moment learns it without delay.

Only the loop's thread uses this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

#: Refusals in a second, and how many may be sent at once after a time without any.
RATE, BURST = 500.0, 50.0
#: Refusals that may wait; where there are more, the oldest is sent.
MOST = 1_000
#: Seconds after which more of those that wait may be sent.
SOON = 0.01


class Refusals:
    """The refusals that wait, each a function that sends one. `now` is in seconds."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._allowed, self._counted = BURST, 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, send: Callable[[], None]) -> None:
        """Have one sent, now or later."""
        self._waiting.append(send)
        if len(self._waiting) > MOST:
            self._waiting.popleft()()

    def send(self, now: float) -> None:
        """Send as many of those that wait as may be sent by now."""
        passed, self._counted = now - self._counted, now
        self._allowed = min(BURST, self._allowed + passed * RATE)
        while self._waiting and self._allowed >= 1.0:
            self._allowed -= 1.0
            self._waiting.popleft()()

    def send_all(self) -> None:
        """Send all that wait, since no more calls will come."""
        while self._waiting:
            self._waiting.popleft()()
