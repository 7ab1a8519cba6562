"""Counts over time, in a fixed number of steps however long the time is.

A step lasts a power of two of minutes. If there are too many steps, neighbours are merged.
"""

from __future__ import annotations

from typing import Final

import msgspec

_FINEST: Final = 60
_STEPS: Final = 96


class Timeline(msgspec.Struct):
    """`counts` has a count for each step. A step takes `width` seconds; its key is the number of
    steps since the epoch."""

    width: int = _FINEST
    counts: dict[int, int] = {}

    def add(self, time: float, number: int = 1) -> None:
        """Count something at a time, in seconds since the epoch."""
        step = int(time // self.width)
        self.counts[step] = self.counts.get(step, 0) + number
        while len(self.counts) > 1 and max(self.counts) - min(self.counts) >= _STEPS:
            self._widen()

    def merge(self, other: Timeline) -> None:
        """Add the counts of another timeline."""
        while self.width < other.width:
            self._widen()
        for step, number in other.counts.items():
            self.add(step * other.width, number)

    def _widen(self) -> None:
        wider: dict[int, int] = {}
        for step, number in self.counts.items():
            wider[step // 2] = wider.get(step // 2, 0) + number
        self.width, self.counts = self.width * 2, wider

    def series(self, start: float, end: float) -> list[int]:
        """Return the counts of all steps from one time to another, zeros included."""
        first, last = int(start // self.width), int(end // self.width)
        return [self.counts.get(step, 0) for step in range(first, last + 1)]
