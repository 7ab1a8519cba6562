"""Polls a remote source: with jitter, with backoff after failures, and at once on request.

It polls every `interval` seconds, give or take a fifth, so that a fleet does not poll in step. Each
consecutive failure doubles the pause, up to ten minutes. `soon` brings the next look forward, but
not closer than a second to the last one, so callers cannot flood the source.
"""

from __future__ import annotations

import logging
import random
import threading
import time
from collections.abc import Callable
from typing import Final

_log = logging.getLogger(__name__)
_SPREAD: Final = 0.2
_LONGEST: Final = 600.0
#: The least time between two looks, in seconds.
SHORTEST: Final = 1.0
_WAIT_FOR_STOP: Final = 2.0


def pause(interval: float, failures: int, uniform: Callable[[float, float], float]) -> float:
    """Return the seconds until the next look, after a number of consecutive failures."""
    longest = max(interval, min(interval * 2.0 ** min(failures, 32), _LONGEST))
    return longest * uniform(1 - _SPREAD, 1 + _SPREAD)


class Poller:
    """Calls `look` repeatedly in a separate thread; `look` returns whether the source answered."""

    def __init__(
        self,
        name: str,
        interval: float,
        look: Callable[[], bool],
        *,
        uniform: Callable[[float, float], float] = random.uniform,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`clock` gives seconds of any origin; `uniform` a number between two."""
        self._interval = interval
        self._look = look
        self._uniform = uniform
        self._clock = clock
        self._wake = threading.Event()
        self._stopped = False
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        """Start; the first look follows a pause."""
        self._thread.start()

    def soon(self) -> None:
        """Bring the next look forward to now."""
        self._wake.set()

    def stop(self) -> None:
        """Stop looking."""
        self._stopped = True
        self._wake.set()
        if self._thread.is_alive():
            self._thread.join(_WAIT_FOR_STOP)

    def _run(self) -> None:
        failures = 0
        looked_at = self._clock() - SHORTEST
        while True:
            self._wake.wait(pause(self._interval, failures, self._uniform))
            rest = looked_at + SHORTEST - self._clock()
            if rest > 0 and not self._stopped:
                # The next look serves all requests that arrive before it begins.
                threading.Event().wait(rest)
            self._wake.clear()
            if self._stopped:
                return
            looked_at = self._clock()
            try:
                answered = self._look()
            except Exception:
                # If this thread ended, old policies would stay in force unnoticed.
                _log.exception("looking for changed policies failed; it goes on")
                answered = False
            failures = 0 if answered else failures + 1
