"""Refusals of calls, sent at a bounded rate.

A caller whose calls are refused at once opens new ones at once, and each refusal costs more than a
check. So if many calls are refused, the refusals wait, and a connection whose calls all wait for a
refusal cannot open more. A few refusals are sent at once, so that a caller with too many calls for
a moment learns it without delay.

Only the loop's thread uses this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable

#: Refusals a second, and the most that may be sent at once after a pause.
RATE, BURST = 500.0, 50.0
#: The most refusals that may wait; if there are more, the oldest is sent.
MOST = 1_000
#: Seconds between two times of sending.
SOON = 0.01


class Refusals:
    """The waiting refusals, each a function that sends one. `now` is in seconds."""

    def __init__(self) -> None:
        self._waiting: deque[Callable[[], None]] = deque()
        self._allowed, self._counted = BURST, 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, send: Callable[[], None]) -> None:
        """Send a refusal, now or later."""
        self._waiting.append(send)
        if len(self._waiting) > MOST:
            self._waiting.popleft()()

    def send(self, now: float) -> None:
        """Send as many of the waiting refusals as the rate allows."""
        passed, self._counted = now - self._counted, now
        self._allowed = min(BURST, self._allowed + passed * RATE)
        while self._waiting and self._allowed >= 1.0:
            self._allowed -= 1.0
            self._waiting.popleft()()

    def send_all(self) -> None:
        """Send all waiting refusals, because no more calls will come."""
        while self._waiting:
            self._waiting.popleft()()
