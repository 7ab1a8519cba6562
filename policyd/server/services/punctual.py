"""Delivers a deferred answer, or a substitute before the caller gives up.

For callers that treat a missing answer as consent: Envoy with `failure_mode_allow`. Without this, a
client could make policyd wait for a slow issuer until Envoy lets its request pass.

Invariants: each answer is delivered once. The thread that watches the clock runs only while answers
are awaited, and holds no lock while it delivers one.
"""

from __future__ import annotations

import heapq
import itertools
import threading
from collections.abc import Callable
from time import monotonic
from typing import Final, Generic, Protocol

from policyd.pdp.calls import CallFailed, Deferred, Deliver, WrittenT, start_deferred

#: The time that an answer needs to reach the caller: seconds, or a share of the caller's timeout.
_SPARE, _SHARE = 0.05, 0.1
#: The longest time to an answer, in seconds, for any caller.
LONGEST: Final = 30.0


class Punctual:
    """Makes deferred answers arrive in time."""

    def __init__(self, clock: Callable[[], float] = monotonic) -> None:
        self._clock = clock
        self._changed = threading.Condition()
        self._numbers = itertools.count()
        self._awaited: list[tuple[float, int, _Late]] = []
        self._looking = False

    def deferred(
        self, answer: Deferred[WrittenT], remaining: float | None, late: WrittenT
    ) -> Deferred[WrittenT]:
        """Return `answer`, or `late` in its place if it does not arrive in time.

        `remaining` are the seconds until the caller gives up.
        """

        def begin(deliver: Deliver[WrittenT]) -> None:
            once = _Once(deliver, late)
            self._await(self._clock() + patience(remaining), once)
            start_deferred(answer, once.deliver)

        return Deferred(begin)

    def _await(self, due: float, late: _Late) -> None:
        with self._changed:
            heapq.heappush(self._awaited, (due, next(self._numbers), late))
            if self._looking:
                self._changed.notify()
                return
            self._looking = True
        threading.Thread(target=self._look, name="deadlines", daemon=True).start()

    def _look(self) -> None:
        while (late := self._next()) is not None:
            late.expire()

    def _next(self) -> _Late | None:
        """Wait for the next late answer; `None` if no more are awaited."""
        with self._changed:
            while self._awaited:
                due, _, first = self._awaited[0]
                wait = due - self._clock()
                if wait > 0 and not first.over:
                    self._changed.wait(wait)
                    continue
                heapq.heappop(self._awaited)
                if not first.over:
                    return first
            self._looking = False
            return None


def patience(remaining: float | None) -> float:
    """Return how long an answer may take, in seconds, if the caller gives up after `remaining`
    seconds."""
    if remaining is None:
        return LONGEST
    spare = max(_SPARE, remaining * _SHARE)
    return min(LONGEST, max(remaining - spare, remaining / 2))


class _Late(Protocol):
    """An answer that is awaited."""

    @property
    def over(self) -> bool:
        """Whether it was delivered."""
        ...

    def expire(self) -> None:
        """Deliver the substitute."""
        ...


class _Once(Generic[WrittenT]):
    """Delivers one of an answer and its substitute, once."""

    def __init__(self, deliver: Deliver[WrittenT], late: WrittenT) -> None:
        self._lock = threading.Lock()
        self._deliver: Deliver[WrittenT] | None = deliver
        self._late = late

    @property
    def over(self) -> bool:
        return self._deliver is None

    def deliver(self, answer: WrittenT | CallFailed) -> None:
        with self._lock:
            deliver, self._deliver = self._deliver, None
        if deliver is not None:
            deliver(answer)

    def expire(self) -> None:
        self.deliver(self._late)
