"""The format for people: headline, place, the lines in question with carets, help and notes.

    error[P2104]: unknown attribute `orgid` on resource `patient`
      --> policies/health/health.policy:41:35
       |
    41 |     when token.org_id == resource.orgid
       |                                   ^^^^^ not declared
       |
       = help: a similar attribute exists: `org_id`
       = note: `policyd explain P2104` says more

Carets stand under what they mean, whatever tabs and wide characters come before. A range over
several lines is underlined line by line. Text of the source is printed escaped (`terminal`).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from textwrap import wrap
from typing import NamedTuple

from policyd.diagnostics.diagnostic import Diagnostic, Label, Severity
from policyd.diagnostics.source import Source
from policyd.diagnostics.terminal import printable, width

#: Findings shown before the rest is only counted.
LIMIT = 100
#: Code points of one source line that are shown.
_LINE_LIMIT = 160
#: Lines of one range that are shown.
_RANGE_LINES = 6  # the first three and the last three
_TAB = 4
#: Columns before the further lines of a headline.
_INDENT = 4
#: Columns below which prose is not broken any more.
_LEAST_WIDTH = 40

_RED, _YELLOW, _BLUE, _BOLD = "1;31", "1;33", "1;34", "1"
_SEVERITY_COLOURS = {Severity.ERROR: _RED, Severity.WARNING: _YELLOW}


def render_full(
    diagnostics: Sequence[Diagnostic], *, colour: bool = False, width: int | None = None
) -> str:
    """Return the findings in the order given, each as a block of lines.

    Headlines, help and notes are broken at `width` columns, source text never.
    """
    explained: set[str] = set()
    blocks = []
    for found in diagnostics[:LIMIT]:
        blocks.append(_Block(found, colour, width).text(refer=found.code not in explained))
        explained.add(found.code)
    if len(diagnostics) > LIMIT:
        blocks.append(f"... and {len(diagnostics) - LIMIT} more findings, not shown\n")
    return "\n".join(blocks)


class _Mark(NamedTuple):
    """What is underlined on one line: code points `[start, end)` of it."""

    line: int
    start: int
    end: int
    primary: bool
    message: str


class _Block:
    """One finding."""

    def __init__(self, found: Diagnostic, colour: bool, width: int | None) -> None:
        self._found = found
        self._colour = colour
        self._width = width
        self._snippets = _snippets(found)
        lines = [mark.line for _, _, marks in self._snippets for mark in marks]
        self._gutter = len(str(max(lines, default=1)))

    def text(self, refer: bool) -> str:
        return "".join(f"{line.rstrip()}\n" for line in self._lines(refer))

    def _lines(self, refer: bool) -> Iterator[str]:
        found = self._found
        title = self._paint(f"{found.severity}[{found.code}]", _SEVERITY_COLOURS[found.severity])
        begun = width(f"{found.severity}[{found.code}]: ")
        first, *rest = self._broken(found.headline, begun, _INDENT)
        yield title + self._paint(f": {first}", _BOLD)
        yield from (self._paint(" " * _INDENT + line, _BOLD) for line in rest)
        for index, (source, place, marks) in enumerate(self._snippets):
            yield from self._snippet(source, place, marks, "-->" if index == 0 else ":::")
        notes = [("note", note) for note in found.remarks]
        if found.help is not None:
            notes.insert(0, ("help", found.help))
        if refer:
            notes.append(("note", f"`policyd explain {found.code}` says more"))
        if notes and self._snippets:
            yield self._bar("|")
        for kind, text in notes:
            indent = self._gutter + len(f" = {kind}: ")
            # A text of several lines is a tree, whose shape is its meaning.
            several = "\n" in text
            lines = (
                map(printable, text.split("\n")) if several else self._broken(text, indent, indent)
            )
            first, *rest = lines
            yield self._bar(f"= {kind}: ") + first
            yield from (" " * indent + line for line in rest)

    def _snippet(self, source: Source, place: int, marks: list[_Mark], arrow: str) -> Iterator[str]:
        line, column = source.position(place)
        pointer = self._paint(f"{' ' * self._gutter}{arrow}", _BLUE)
        if not source.text:  # nothing was read, or there is nothing
            yield f"{pointer} {printable(source.name)}"
            return
        yield f"{pointer} {printable(source.name)}:{line}:{column}"
        yield self._bar("|")
        previous = None
        for number, on_line in groupby(marks, key=lambda mark: mark.line):
            if previous is not None and number > previous + 1:
                yield self._paint("...", _BLUE)
            yield from self._line(source.line(number), number, list(on_line))
            previous = number

    def _line(self, text: str, number: int, marks: list[_Mark]) -> Iterator[str]:
        start = max(0, marks[0].start - _LINE_LIMIT // 2) if len(text) > _LINE_LIMIT else 0
        end = min(len(text), start + _LINE_LIMIT)
        shown, columns = _display(text[start:end])
        before = "…" if start > 0 else ""
        after = "…" if end < len(text) else ""
        label = self._paint(f"{number:>{self._gutter}} |", _BLUE)
        yield f"{label} {before}{shown}{after}"
        for mark in marks:
            first = columns[min(max(mark.start - start, 0), end - start)]
            last = columns[min(max(mark.end - start, 0), end - start)]
            caret = ("^" if mark.primary else "-") * max(last - first, 1)
            colour = _SEVERITY_COLOURS[self._found.severity] if mark.primary else _BLUE
            drawn = f"{caret} {printable(mark.message)}".rstrip()
            yield self._bar("| ") + " " * (len(before) + first) + self._paint(drawn, colour)

    def _broken(self, text: str, first: int, indent: int) -> list[str]:
        """Break prose of one line; `first` columns of the first line are taken, then `indent`."""
        shown = printable(text)
        if self._width is None:
            return [shown]
        room = max(self._width, _LEAST_WIDTH)
        lines = wrap(
            " " * first + shown,
            room,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        return [line[first if number == 0 else indent :] for number, line in enumerate(lines)]

    def _bar(self, text: str) -> str:
        return self._paint(f"{' ' * self._gutter} {text}", _BLUE)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


def _display(text: str) -> tuple[str, list[int]]:
    """Return the line as it is printed, and the column at which each code point begins.

    The list has one column more, for the end.
    """
    parts: list[str] = []
    columns = [0]
    for character in text:
        at = columns[-1]
        part = " " * (_TAB - at % _TAB) if character == "\t" else printable(character)
        parts.append(part)
        columns.append(at + width(part))
    return "".join(parts), columns


def _snippets(found: Diagnostic) -> list[tuple[Source, int, list[_Mark]]]:
    """Group the labels by source, the primary's first; each with the place that it is named by."""
    if found.primary is None:
        return []
    labels = [(found.primary, True), *((label, False) for label in found.secondary)]
    grouped: dict[str, tuple[Source, int, list[_Mark]]] = {}
    for label, primary in labels:
        entry = grouped.setdefault(label.source.name, (label.source, label.span.start, []))
        entry[2].extend(_marks(label, primary))
    for _, _, marks in grouped.values():
        marks.sort(key=lambda mark: (mark.line, mark.start, mark.end, not mark.primary))
    return list(grouped.values())


def _marks(label: Label, primary: bool) -> list[_Mark]:
    source, (start, end), message = label.source, label.span, label.message
    first, first_column = source.position(start)
    last, last_column = source.position(max(start, end - 1))
    if first == last:
        stop = min(last_column, len(source.line(first))) if end > start else first_column - 1
        return [_Mark(first, first_column - 1, stop, primary, message)]
    marks = []
    for number in range(first, last + 1):
        if min(number - first, last - number) >= _RANGE_LINES // 2:
            continue
        text = source.line(number)
        indent = len(text) - len(text.lstrip())
        begin = first_column - 1 if number == first else indent
        stop = last_column if number == last else len(text)
        if stop > begin or number == last:
            said = message if number == last else ""
            marks.append(_Mark(number, begin, stop, primary, said))
    return marks
