"""The names that occur most often, in memory that does not grow with how many there are.

After Misra and Gries, "Finding repeated elements", 1982: where there is no room for one more name,
the median is taken from all counts, and those at zero go. So each count is too low by at most
`lost`, and a name that occurs more often than that is among them.
"""

from __future__ import annotations

from collections.abc import Hashable
from statistics import median_low
from typing import Final, Generic, TypeVar

import msgspec

N = TypeVar("N", bound=Hashable)
ROOM: Final = 20_000


class Frequent(msgspec.Struct, Generic[N]):
    """`counts` by name; each is exact as long as `lost` is 0, else too low by at most so many."""

    counts: dict[N, int] = {}
    lost: int = 0
    room: int = ROOM

    def add(self, name: N, number: int = 1) -> None:
        """Count a name."""
        counts = self.counts
        known = counts.get(name)
        if known is not None:
            counts[name] = known + number
        else:
            if len(counts) >= self.room:
                self._make_room()
            self.counts[name] = number

    def _make_room(self) -> None:
        taken = median_low(self.counts.values())
        self.lost += taken
        self.counts = {one: left - taken for one, left in self.counts.items() if left > taken}

    def merge(self, other: Frequent[N]) -> None:
        """Add the counts of another."""
        self.lost += other.lost
        for name, number in other.counts.items():
            self.add(name, number)

    def top(self, number: int) -> list[tuple[N, int]]:
        """Return the names that occur most often, the first first, equal ones by name."""
        return sorted(self.counts.items(), key=lambda one: (-one[1], str(one[0])))[:number]
