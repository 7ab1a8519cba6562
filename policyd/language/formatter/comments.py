"""Comments, and the blank lines that an author left, put back between the printed lines.

The formatter changes white space, commas and parentheses, and nothing else. So the other characters
of the source, comments aside, are those of the printed lines, in the same order; the number of them
before a comment (its *rank*) says between which printed lines the comment belongs.

A comment that ends a line stays at the end of the line with what stood before it; one on a line of
its own stays above what follows it. Documentation (`///`) is always on lines of its own.
"""

from __future__ import annotations

import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator, Sequence

import msgspec

from policyd.diagnostics import Source, Span
from policyd.diagnostics.terminal import width
from policyd.errors import InternalError
from policyd.language.formatter.document import STEP
from policyd.language.formatter.statements import Gap

#: Columns between the longest line and the comments at the ends of lines.
_COMMENT_GAP = 3
_TRIVIA = re.compile(r'"(?:[^"\\\n]|\\[^\n])*"|(//[^\n]*)')
#: What the printer adds and leaves out, besides quotes around a name that does without.
_INSIGNIFICANT = frozenset(" \t\r\n,()")
_NAME = re.compile(r'"[A-Za-z_][A-Za-z0-9_\-]*"')
_CONNECTIVE = re.compile(r"(?<![\w.:\-])(?:and|or)$")


class FormatterError(InternalError):
    """The formatter would have changed more than it may. A defect of policyd, not of the text."""


class Comment(msgspec.Struct, frozen=True):
    """A comment or a line of documentation, as written but for white space at its end."""

    span: Span
    text: str
    alone: bool
    indented: bool

    @property
    def is_documentation(self) -> bool:
        return _is_documentation(self.text)


class Printed(msgspec.Struct, frozen=True):
    """A line of output. `gap` is that of the statement that begins with it."""

    text: str
    gap: Gap

    @property
    def indent(self) -> int:
        return len(self.text) - len(self.text.lstrip())

    @property
    def closes(self) -> bool:
        return self.text.lstrip()[:1] in ("}", "]", ")")


def find_comments(source: Source) -> list[Comment]:
    """Find all comments of a text that parses."""
    found = []
    for match in _TRIVIA.finditer(source.text):
        if match[1] is not None:
            start = match.start()
            before = source.text[source.text.rfind("\n", 0, start) + 1 : start]
            text = match[1].rstrip()
            alone = _is_documentation(text) or not before.strip()
            found.append(Comment(Span(start, match.end()), text, alone, bool(before)))
    return found


def _is_documentation(text: str) -> bool:
    return text.startswith("///") and not text.startswith("////")


def weave(source: Source, comments: Sequence[Comment], lines: Sequence[Printed]) -> str:
    """Return the whole text: the lines with the comments and blank lines of the source."""
    return _Weaver(source, comments, lines).text()


class _Weaver:
    def __init__(
        self, source: Source, comments: Sequence[Comment], lines: Sequence[Printed]
    ) -> None:
        self._source = source
        self._lines = lines
        self._offsets: list[int] = []  # of the significant characters
        self._closers: list[int] = []  # of the closing parentheses
        self._read(comments)
        self._ends = list(_running_totals([line.text for line in lines]))
        self._above: list[list[Comment]] = [[] for _ in range(len(lines) + 1)]
        self._beside: list[list[Comment]] = [[] for _ in lines]
        self._place(comments)
        self._written: list[tuple[str, str]] = []  # each line, and the comment at its end
        self._opened = False  # whether the last line written opens a block

    def _read(self, comments: Sequence[Comment]) -> None:
        """Find the significant characters of the source, which must be those of the lines."""
        text = self._source.text
        quotes = _quotes_of_names(text)
        start = 0
        for span in [*(comment.span for comment in comments), Span(len(text), len(text))]:
            for offset in range(start, span.start):
                if text[offset] == ")":
                    self._closers.append(offset)
                elif text[offset] not in _INSIGNIFICANT and offset not in quotes:
                    self._offsets.append(offset)
            start = span.end
        printed = "".join(_significant(line.text) for line in self._lines)
        if "".join(text[offset] for offset in self._offsets) != printed:
            raise FormatterError(f"formatting {self._source.name} would change its words")

    def text(self) -> str:
        for index, line in enumerate(self._lines):
            self._write(index, line)
        for comment, margin in self._leading(len(self._lines)):
            apart = self._apart(len(self._lines), comment)
            self._emit(" " * margin + comment.text, apart)
        return "".join(f"{text}\n" for text in _aligned(self._written))

    # -- where comments go ---------------------------------------------------------------------

    def _place(self, comments: Sequence[Comment]) -> None:
        latest = 0  # comments keep their order, whatever commas stand between them
        for comment in comments:
            rank = self._rank(comment)
            line = bisect_left(self._ends, rank)
            if comment.alone or line < latest:
                latest = max(latest, self._line_after(rank, comment))
                self._above[latest].append(comment)
            else:
                self._beside[line].append(comment)
        for index, beside in enumerate(self._beside):
            # One comment has room beside a line, the last. Those before it go above the line.
            merged = sorted(self._above[index] + beside, key=lambda comment: comment.span)
            keep = [merged.pop()] if merged and merged[-1] in beside else []
            self._above[index], self._beside[index] = merged, keep

    def _rank(self, comment: Comment) -> int:
        rank = bisect_left(self._offsets, comment.span.start)
        if comment.alone or rank == 0:
            return rank
        end = self._offsets[rank - 1] + 1
        connective = _CONNECTIVE.search(self._source.text, max(end - 4, 0), end)
        # What stands after an `and` tells of the operand before it.
        return rank if connective is None else rank - len(connective[0])

    def _is_before_closer(self, comment: Comment) -> bool:
        after = bisect_left(self._offsets, comment.span.start)
        following = self._offsets[after] if after < len(self._offsets) else len(self._source.text)
        closer = bisect_left(self._closers, comment.span.start)
        return closer < len(self._closers) and self._closers[closer] < following

    def _begin(self, line: int) -> int:
        """Return how many significant characters come before a line."""
        return self._ends[line - 1] if line > 0 else 0

    def _line_after(self, rank: int, comment: Comment) -> int:
        """Return the line above which a comment belongs that stands alone."""
        line = bisect_right(self._ends, rank)
        if self._begin(line) < rank or not self._is_before_closer(comment):
            return line
        # Lines with nothing but a `)` stand in between; some of them come before the comment.
        first = line
        while first > 0 and self._lines[first - 1].text.strip() == ")":
            first -= 1
        last = self._offsets[rank - 1] if rank > 0 else 0
        closed = bisect_left(self._closers, comment.span.start) - bisect_left(self._closers, last)
        if first > 0:
            before = self._lines[first - 1].text
            closed = max(closed - (len(before) - len(before.rstrip(")"))), 0)
        return min(first + closed, line)

    # -- writing -------------------------------------------------------------------------------

    def _write(self, index: int, line: Printed) -> None:
        """Write a line, with the comments above it and at its end."""
        owed = line.gap is Gap.SECTION
        for comment, margin in self._leading(index):
            blank = line.gap is not Gap.NONE and self._apart(index, comment)
            if owed and margin == 0:
                blank, owed = True, False
            self._emit(" " * margin + comment.text, blank)
        kept = line.gap in (Gap.ITEM, Gap.SECTION) and self._blank_above(
            self._offsets[self._begin(index)]
        )
        beside = "".join(comment.text for comment in self._beside[index])
        self._emit(line.text, owed or kept, beside)
        self._opened = line.text.endswith("{")

    def _emit(self, text: str, blank: bool, beside: str = "") -> None:
        if blank and self._written and not self._opened:
            self._written.append(("", ""))
        self._written.append((text, beside))
        self._opened = False

    def _leading(self, index: int) -> Iterator[tuple[Comment, int]]:
        """Yield the comments above a line, each with how far it is indented."""
        line = self._lines[index] if index < len(self._lines) else None
        if line is not None and line.gap is not Gap.SECTION:
            margin = line.indent + (STEP if line.closes else 0)
            yield from ((comment, margin) for comment in self._above[index])
            return
        # Before a section, an indented comment belongs to the declaration that just ended, unless
        # one in the first column has come between.
        belongs = index > 0 and not self._lines[index - 1].closes
        for comment in self._above[index]:
            belongs = (
                belongs
                and comment.indented
                and not comment.is_documentation
                and not self._is_inside(index, comment)
            )
            yield comment, STEP if belongs else 0

    def _apart(self, index: int, comment: Comment) -> bool:
        """Tell whether the author left a blank line above a comment between two statements."""
        if self._is_inside(index, comment) or self._is_before_closer(comment):
            return False
        return self._blank_above(comment.span.start)

    def _is_inside(self, index: int, comment: Comment) -> bool:
        """Tell whether a comment above a line stood in the middle of it."""
        return self._begin(index) < bisect_left(self._offsets, comment.span.start)

    def _blank_above(self, offset: int) -> bool:
        """Tell whether what is at `offset` begins its line, and the line above is blank."""
        line, column = self._source.position(offset)
        begins = not self._source.line(line)[: column - 1].strip()
        return begins and line > 1 and not self._source.line(line - 1).strip()


def _significant(text: str) -> str:
    quotes = _quotes_of_names(text)
    return "".join(
        character
        for offset, character in enumerate(text)
        if character not in _INSIGNIFICANT and offset not in quotes
    )


def _quotes_of_names(text: str) -> set[int]:
    """Return where quotes stand around what could be a name, a text or not."""
    found: set[int] = set()
    for match in _TRIVIA.finditer(text):
        if _NAME.fullmatch(match.group()):
            found |= {match.start(), match.end() - 1}
    return found


def _running_totals(texts: Sequence[str]) -> Iterator[int]:
    total = 0
    for text in texts:
        total += len(_significant(text))
        yield total


def _aligned(written: Sequence[tuple[str, str]]) -> Iterator[str]:
    """Join the comments to their lines, in one column where such lines follow each other."""
    index = 0
    while index < len(written):
        end = index
        while end < len(written) and written[end][1]:
            end += 1
        if end == index:
            yield written[index][0]
            index += 1
            continue
        column = max(width(text) for text, _ in written[index:end]) + _COMMENT_GAP
        for text, comment in written[index:end]:
            yield text + " " * (column - width(text)) + comment
        index = end
