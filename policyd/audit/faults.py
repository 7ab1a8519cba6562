"""Unusable lines of a log, counted by fault, with the places of the first ones."""

from __future__ import annotations

from typing import Final

import msgspec

from policyd.audit.schema import Fault
from policyd.json_types import Json

#: The name of each fault in reports.
SAID: Final[dict[Fault, str]] = {
    "torn": "torn: ends within a record",
    "foreign": "foreign: no record of policyd's",
    "version": "of another version of the schema",
    "malformed": "malformed",
    "long": "too long",
    "damaged": "damaged: cannot be decompressed from here on",
}
_SHOWN: Final = 5
_CUT: Final = 200


class Place(msgspec.Struct, frozen=True, order=True):
    """A line of a file, counted from 1; 0 if its number is unknown."""

    file: str
    line: int

    def __str__(self) -> str:
        return f"{self.file}:{self.line}" if self.line else self.file


class FaultPlace(msgspec.Struct, frozen=True):
    """The place of an unusable line, and the problem."""

    place: Place
    problem: str


class Faults(msgspec.Struct):
    """The number of lines by fault (`counts`), and the first `places` of each fault."""

    counts: dict[Fault, int] = {}
    places: dict[Fault, list[FaultPlace]] = {}

    def add(self, fault: Fault, place: Place, problem: str) -> None:
        """Count a line."""
        self.counts[fault] = self.counts.get(fault, 0) + 1
        listed = self.places.setdefault(fault, [])
        if len(listed) < _SHOWN:
            listed.append(FaultPlace(place, problem[:_CUT]))

    def merge(self, other: Faults, shift: int) -> None:
        """Add the faults of a later part of a file that begins after `shift` lines."""
        for fault, number in other.counts.items():
            self.counts[fault] = self.counts.get(fault, 0) + number
            listed = self.places.setdefault(fault, [])
            for one in other.places[fault][: _SHOWN - len(listed)]:
                place = Place(one.place.file, one.place.line + shift)
                listed.append(FaultPlace(place, one.problem))

    def text(self) -> list[str]:
        """Return a line for each fault, and one for each of its places."""
        found: list[str] = []
        for fault, said in SAID.items():
            if fault in self.counts:
                found.append(f"{self.counts[fault]:,} {said}")
                found += [f"    {one.place}: {one.problem}" for one in self.places[fault]]
        return found

    def as_json(self) -> list[Json]:
        """Return the same for programs."""
        return [
            {
                "fault": fault,
                "count": number,
                "places": [
                    {"file": one.place.file, "line": one.place.line, "problem": one.problem}
                    for one in self.places[fault]
                ],
            }
            for fault, number in self.counts.items()
        ]
