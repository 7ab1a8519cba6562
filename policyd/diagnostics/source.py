"""Source text and positions in it.

A position is a pair of offsets into a shared `Source`; lines and columns are computed only when a
diagnostic is rendered. Offsets count code points.
"""

from __future__ import annotations

from bisect import bisect_right
from functools import cached_property
from typing import NamedTuple

import msgspec


class Span(NamedTuple):
    """A half-open range `[start, end)` of code points in a source."""

    start: int
    end: int

    def to(self, other: Span) -> Span:
        """Return the range from the beginning of this one to the end of `other`."""
        return Span(self.start, other.end)


class Position(NamedTuple):
    """A place as people count it: line and column, both from 1, the column in code points."""

    line: int
    column: int


class Source(msgspec.Struct, frozen=True, dict=True):
    """A named text. `name` is what diagnostics show, usually a path relative to the policy root."""

    name: str
    text: str

    @cached_property
    def _line_starts(self) -> list[int]:
        starts = [0]
        find = self.text.find
        at = find("\n")
        while at >= 0:
            starts.append(at + 1)
            at = find("\n", at + 1)
        return starts

    @property
    def line_count(self) -> int:
        return len(self._line_starts)

    def position(self, offset: int) -> Position:
        """Return the line and column of `offset`."""
        line = bisect_right(self._line_starts, offset)
        return Position(line, offset - self._line_starts[line - 1] + 1)

    def line(self, number: int) -> str:
        """Return line `number` (from 1) without its line break."""
        start = self._line_starts[number - 1]
        end = self._line_starts[number] if number < self.line_count else len(self.text)
        return self.text[start:end].rstrip("\r\n")
