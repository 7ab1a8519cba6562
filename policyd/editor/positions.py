"""Offsets of policyd to positions of the Language Server Protocol, and back.

policyd counts code points from the beginning of a text; the protocol counts lines, and within a
line code units of an encoding that both sides have agreed on, UTF-16 unless the client offers
another. It takes a lone carriage return for a line break too, which policyd does not.

Source: Language Server Protocol 3.17, "Text Documents" and "Position".
"""

from __future__ import annotations

import re
from bisect import bisect_right
from enum import StrEnum
from typing import NamedTuple

_LINE_BREAK = re.compile(r"\r\n|\r|\n")


class Encoding(StrEnum):
    """What a position within a line counts. The values are the protocol's."""

    UTF_8 = "utf-8"
    UTF_16 = "utf-16"
    UTF_32 = "utf-32"

    def units(self, text: str) -> int:
        """Return how many code units a text has."""
        match self:
            case Encoding.UTF_8:
                return len(text.encode("utf-8"))
            case Encoding.UTF_16:
                return len(text) + sum(character > "\uffff" for character in text)
            case Encoding.UTF_32:
                return len(text)


class CodeUnitPosition(NamedTuple):
    """A position as the protocol counts it: line and code unit, both from 0."""

    line: int
    unit: int


class Positions:
    """The positions in one text."""

    def __init__(self, text: str, encoding: Encoding) -> None:
        self._text = text
        self._encoding = encoding
        self._starts = [0, *(found.end() for found in _LINE_BREAK.finditer(text))]

    def position(self, offset: int) -> CodeUnitPosition:
        """Return the position of an offset."""
        line = bisect_right(self._starts, offset) - 1
        return CodeUnitPosition(line, self._encoding.units(self._text[self._starts[line] : offset]))

    def offset(self, position: CodeUnitPosition) -> int:
        """Return the offset of a position.

        What lies behind the end of a line or of the text counts as that end, and what lies within
        a character counts as its beginning.
        """
        if position.line >= len(self._starts):
            return len(self._text)
        start = self._starts[position.line]
        end = len(self._text)
        if position.line + 1 < len(self._starts):
            end = self._starts[position.line + 1]
        line = self._text[start:end].rstrip("\r\n")
        left = position.unit
        for column, character in enumerate(line):
            left -= self._encoding.units(character)
            if left < 0:
                return start + column
        return start + len(line)


def without_surrogates(text: str) -> str:
    """Return a text in which half of a surrogate pair is U+FFFD.

    JSON can carry such a half, UTF-8 cannot; so no file holds one. Positions stay the same.
    """
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")
