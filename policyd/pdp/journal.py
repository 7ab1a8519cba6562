"""Records the outcome of each policy set, if there is a state folder.

If the folder cannot be written, sets serve all the same: the log says so, and so does `problem`
until the next successful write.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable
from datetime import UTC, datetime

from policyd.sources.policies import PolicyFiles, Provenance, Step
from policyd.sources.policies.journal import LONGEST, Entry, RuleNumbers
from policyd.sources.policies.state import StateFolder, StateUnusable, StoredSet

_log = logging.getLogger(__name__)
_NOWHERE = Provenance("", "")


class Journal:
    """Writes to the state folder, if there is one. `clock` gives seconds since the epoch."""

    def __init__(self, state: StateFolder | None, clock: Callable[[], float] = time.time) -> None:
        self._state = state
        self._clock = clock
        self._asked_by = ""
        #: Why the last set was not recorded, `None` if it was.
        self.problem: str | None = None

    def activated(
        self,
        provenance: Provenance,
        revision: str,
        numbers: RuleNumbers,
        problem: StateUnusable | None,
        asked_by: str = "",
    ) -> None:
        """Record that a set serves, and the `problem` with storing it, if there is one."""
        self.problem = None
        if problem is not None:
            self.failed(problem)
        made = Entry(
            self._now(), "activated", provenance, revision, rules=numbers, asked_by=asked_by
        )
        self._record(made)

    def refused(
        self, provenance: Provenance | None, step: Step, problem: str, asked_by: str = ""
    ) -> None:
        """Record why a set does not serve."""
        made = Entry(
            self._now(),
            "refused",
            provenance or _NOWHERE,
            step=step,
            problem=problem[:LONGEST],
            asked_by=asked_by,
        )
        self._record(made)

    def restored(self, stored: StoredSet, step: Step, problem: str) -> None:
        """Record that a stored set serves again, and why no newer one does."""
        self._record(
            Entry(
                self._now(), "restored", stored.provenance, stored.revision, step, problem[:LONGEST]
            )
        )

    def last(self) -> StoredSet | None:
        """Return the set that served last, if one is stored and readable."""
        if self._state is None:
            return None
        try:
            return self._state.last()
        except StateUnusable as error:
            self.failed(error)
            return None

    def find(self, name: str) -> StoredSet | None:
        """Return a set that served, by its revision or commit. Raises `StateUnusable`."""
        return None if self._state is None else self._state.find(name)

    def passed_over(self, files: PolicyFiles) -> str:
        """Return the commit in whose place an operator activated the set in service, if any."""
        try:
            active = None if self._state is None else self._state.active()
        except StateUnusable:
            return ""
        same = active is not None and active.provenance == files.provenance
        return active.passed_over if same and active is not None else ""

    def newest(self, most: int) -> list[Entry]:
        """Return the newest entries, newest first. Raises `StateUnusable`."""
        return [] if self._state is None else self._state.journal(most)

    def failed(self, error: StateUnusable) -> None:
        """Note that the folder cannot be used."""
        _log.error("what serves is not remembered", extra={"error": str(error)})
        self.problem = str(error)

    def _record(self, entry: Entry) -> None:
        if self._state is None:
            return
        try:
            self._state.record(entry)
        except StateUnusable as error:
            self.failed(error)

    def _now(self) -> str:
        moment = datetime.fromtimestamp(self._clock(), UTC).replace(tzinfo=None)
        return f"{moment.isoformat(timespec='milliseconds')}Z"  # as in decision records
