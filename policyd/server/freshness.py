"""Policies whose source has been silent for too long: the daemon says NOT_SERVING until it speaks.

Input: how long ago the source was heard of. Output: the state of health. Calls that still come are
answered: it is for callers, and for what watches health, to ask another daemon.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable
from typing import Final

from policyd.server.services.health import Health

_log = logging.getLogger(__name__)
_LOOK_EVERY: Final = 0.5
_WAIT_FOR_STOP: Final = 2.0


class Freshness:
    """Suspends `health` while `too_old(now)` says why. `clock` gives seconds since the epoch."""

    def __init__(
        self,
        too_old: Callable[[float], str | None],
        health: Health,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._too_old = too_old
        self._health = health
        self._clock = clock
        self._was_old = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policy-freshness", daemon=True)

    def look(self) -> None:
        """Look once."""
        why = self._too_old(self._clock())
        self._health.suspend(why)
        if (why is not None) != self._was_old:
            self._was_old = why is not None
            if why is not None:
                _log.error("the policies are too old; not serving", extra={"why": why})
            else:
                _log.info("the source of the policies is back")

    def start(self) -> None:
        """Look again and again, from a thread of its own."""
        self.look()
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()
        self._thread.join(_WAIT_FOR_STOP)

    def _run(self) -> None:
        while not self._stop.wait(_LOOK_EVERY):
            self.look()
