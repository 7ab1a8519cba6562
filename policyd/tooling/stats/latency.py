"""How long decisions took: quantiles from counts of a few hundred steps."""

from __future__ import annotations

from math import ceil
from typing import Final

import msgspec

#: Steps for each doubling: a quantile is too high by at most an eighth.
_STEPS: Final = 8


class Latency(msgspec.Struct):
    """`counts` by step; `most` is the longest time, in microseconds."""

    counts: dict[int, int] = {}
    most: int = 0

    def add(self, duration_us: int) -> None:
        """Count a duration."""
        step = _step(duration_us)
        self.counts[step] = self.counts.get(step, 0) + 1
        self.most = max(self.most, duration_us)

    def merge(self, other: Latency) -> None:
        """Add the counts of another."""
        for step, number in other.counts.items():
            self.counts[step] = self.counts.get(step, 0) + number
        self.most = max(self.most, other.most)

    def quantile(self, share: float) -> int | None:
        """Return the duration that a share of all did not exceed, in microseconds."""
        wanted = ceil(sum(self.counts.values()) * share)
        seen = 0
        for step in sorted(self.counts):
            seen += self.counts[step]
            if seen >= wanted:
                return min(_end(step), self.most)
        return None


def _step(duration_us: int) -> int:
    """Return the step of a duration: whole microseconds up to 16, then eighths of a doubling."""
    if duration_us < 2 * _STEPS:
        return duration_us
    doubling = duration_us.bit_length() - _STEPS.bit_length()
    return (doubling + 1) * _STEPS + (duration_us >> doubling) - _STEPS


def _end(step: int) -> int:
    """Return the longest duration of a step."""
    if step < 2 * _STEPS:
        return step
    doubling, eighth = divmod(step, _STEPS)
    return ((eighth + _STEPS + 1) << (doubling - 1)) - 1
