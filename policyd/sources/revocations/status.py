"""The status of a source of revocations, as readiness, metrics and the log report it.

A source reports each success and each failure; only changes are logged. This module also watches
the time of day: entries that ended by a wrong clock have to be read again.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from typing import Final

from policyd.tokens.revocation.revocation_list import RevocationList

_log = logging.getLogger(__name__)
#: The seconds by which clocks are set back in normal operation.
_ORDINARY: Final = 60


class SourceStatus:
    """Reports the state of `source` to its list and to the log. For the source's thread only."""

    def __init__(self, revocations: RevocationList, source: str) -> None:
        self.revocations = revocations
        self.source = source
        self._problem: str | None = None
        self._said_loaded = False
        self._said_stale = False

    def current(self) -> None:
        """Report that the list holds all entries of the source."""
        self.revocations.confirm()
        if not self._said_loaded:
            self._log(logging.INFO, "revocations loaded", entries=self._entries())
        elif self._problem is not None:
            self._log(logging.INFO, "revocations are current again", entries=self._entries())
        self._said_loaded, self._said_stale, self._problem = True, False, None

    def failed(self, problem: str, **more: object) -> None:
        """Report that the source is unreadable or unreliable; the known entries stay in force."""
        self.revocations.fail(problem)
        if problem != self._problem:
            self._log(
                logging.ERROR,
                "revocations cannot be read",
                problem=problem,
                age=self._age(),
                **more,
            )
        self._problem = problem
        if self._said_loaded and not self._said_stale and self.revocations.stale:
            self._said_stale = True
            self._log(
                logging.ERROR, "the revocation list is stale", problem=problem, age=self._age()
            )

    def changed(self) -> None:
        """Report that the list was read again, or grew."""
        if self._said_loaded:
            self._log(logging.INFO, "revocations changed", entries=self._entries())

    def lost(self, what: str) -> None:
        """Report that the source lost entries, which stay in force here."""
        self._log(logging.ERROR, "the source has lost revocations", problem=what)

    def _entries(self) -> int:
        return sum(self.revocations.figures().entries.values())

    def _age(self) -> float | None:
        age = self.revocations.figures().age
        return None if age is None else round(age, 1)

    def _log(self, level: int, message: str, **values: object) -> None:
        _log.log(level, message, extra={"source": self.source, **values})


class TimeOfDay:
    """The time of day, which may be set back. `clock` is in seconds since the epoch."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._latest = clock()

    def __call__(self) -> float:
        now = self._clock()
        self._latest = max(self._latest, now)
        return now

    def was_set_back(self) -> bool:
        """Tell, once, whether the clock was ahead: entries may then have been dropped too early."""
        now, before = self._clock(), self._latest
        self._latest = now if now < before - _ORDINARY else max(now, before)
        return now < before - _ORDINARY
