"""Looks at a remote source again and again: spread, backed off after failures, at once on a word.

Polls come every `interval` seconds, spread by a fifth, so that a fleet does not arrive together.
After each failure in a row the pause doubles, up to ten minutes. `soon` makes the next look come at
once, but not sooner than a second after the last: whoever may call it cannot make a flood.
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
    """Return the seconds until the next look, after so many failures in a row."""
    longest = max(interval, min(interval * 2.0 ** min(failures, 32), _LONGEST))
    return longest * uniform(1 - _SPREAD, 1 + _SPREAD)


class Poller:
    """Calls `look`, which tells whether the source answered, from a thread of its own."""

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
        """Begin, with a pause."""
        self._thread.start()

    def soon(self) -> None:
        """Let the next look come at once."""
        self._wake.set()

    def stop(self) -> None:
        """Look no more."""
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
                # Words that come meanwhile are words about what the next look will see.
                threading.Event().wait(rest)
            self._wake.clear()
            if self._stopped:
                return
            looked_at = self._clock()
            try:
                answered = self._look()
            except Exception:
                # A watch that ended in silence would leave what is old in force for good.
                _log.exception("looking for changed policies failed; it goes on")
                answered = False
            failures = 0 if answered else failures + 1
