"""Counts the verdicts of many records exactly, in memory that does not grow with the log.

Records with the same outcome form a `Group`. A group counts its subjects up to `SUBJECTS`; records
beyond `GROUPS` groups are counted together.
"""

from __future__ import annotations

from typing import Final, TypeVar

import msgspec

from policyd.audit.faults import Faults, Place
from policyd.audit.timeline import Timeline

SUBJECTS: Final = 10_000
GROUPS: Final = 2_000
K = TypeVar("K")


class Difference(msgspec.Struct, frozen=True):
    """The common part of a group of records: the question, and both answers with their rules.

    `reason` is the recorded one.
    """

    api: str
    action: str
    resource_type: str
    before: str
    reason: str
    rules_before: tuple[str, ...]
    after: str
    rules_after: tuple[str, ...]


class Doubt(msgspec.Struct, frozen=True):
    """Why a verdict is uncertain: the facts on which it depends, each with the reason why it is not
    recorded."""

    api: str
    action: str
    resource_type: str
    causes: tuple[tuple[str, str], ...]


class Example(msgspec.Struct, frozen=True):
    """A record of a group, and its place in the log."""

    place: Place
    decision_id: str
    time: float


class Group(msgspec.Struct):
    """Records with the same outcome. Times are seconds since the epoch.

    `subjects` holds digests of those who asked, and is full from `SUBJECTS` on; `unnamed` counts
    records that name none.
    """

    example: Example
    first: float
    last: float
    count: int = 0
    unnamed: int = 0
    subjects: set[bytes] = msgspec.field(default_factory=set)
    times: Timeline = msgspec.field(default_factory=Timeline)

    def add(self, time: float, subject: bytes | None) -> None:
        """Count a record."""
        self.count += 1
        self.first, self.last = min(self.first, time), max(self.last, time)
        self.times.add(time)
        if subject is None:
            self.unnamed += 1
        elif len(self.subjects) < SUBJECTS:
            self.subjects.add(subject)

    def merge(self, other: Group) -> None:
        """Add the records of a later part."""
        self.count += other.count
        self.unnamed += other.unnamed
        self.first, self.last = min(self.first, other.first), max(self.last, other.last)
        self.times.merge(other.times)
        self.subjects |= other.subjects
        while len(self.subjects) > SUBJECTS:
            self.subjects.pop()


class Tally(msgspec.Struct):
    """Counts of records, and of lines that are not records.

    `left_out` counts records outside the requested period or API, `shadows` those of shadow
    policies. `beyond` counts different or uncertain records beyond the largest number of groups.
    `elsewhere` counts records of revisions whose policies are not known.
    """

    lines: int = 0
    decided: int = 0
    same: int = 0
    differs: int = 0
    doubtful: int = 0
    left_out: int = 0
    partial: int = 0
    shadows: int = 0
    gaps: int = 0
    dropped: int = 0
    elsewhere: int = 0
    beyond: int = 0
    first: float | None = None
    last: float | None = None
    faults: Faults = msgspec.field(default_factory=Faults)
    differences: dict[Difference, Group] = msgspec.field(default_factory=dict)
    doubts: dict[Doubt, Group] = msgspec.field(default_factory=dict)

    def note_time(self, time: float) -> None:
        """Note the time of a decision."""
        self.first = time if self.first is None else min(self.first, time)
        self.last = time if self.last is None else max(self.last, time)

    def merge(self, other: Tally, shift: int) -> None:
        """Add the tally of a later part of a file, which begins after `shift` lines."""
        for name in ("lines", "decided", "same", "differs", "doubtful", "left_out", "partial"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        for name in ("shadows", "gaps", "dropped", "elsewhere", "beyond"):
            setattr(self, name, getattr(self, name) + getattr(other, name))
        times = [one for one in (self.first, other.first) if one is not None]
        self.first = min(times, default=None)
        self.last = max((one for one in (self.last, other.last) if one is not None), default=None)
        self.faults.merge(other.faults, shift)
        self._join(self.differences, other.differences, shift)
        self._join(self.doubts, other.doubts, shift)

    def _join(self, own: dict[K, Group], others: dict[K, Group], shift: int) -> None:
        for key, group in others.items():
            known = own.get(key)
            if known is not None:
                known.merge(group)
            elif len(own) < GROUPS:
                place = Place(group.example.place.file, group.example.place.line + shift)
                example = msgspec.structs.replace(group.example, place=place)
                own[key] = msgspec.structs.replace(group, example=example)
            else:
                self.beyond += group.count
