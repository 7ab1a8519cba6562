"""Coverage for a terminal: a bar for each API, then the source of what is not fully covered.

health    ████████████████████  100.0 %  44 of 44
payments  ███████████████████▋   97.6 %  82 of 84

policies/payments/payments.policy

  deny frozen of payments, which no test shows not to apply
  86 | deny frozen: create, approve, cancel on payment
  87 |     when resource.frozen
     |          ~~~~~~~~~~~~~~~ never false
  88 |     because "the payment is frozen by the fraud desk"
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import groupby

from policyd.diagnostics.terminal import printable, width
from policyd.language.policy import Truth
from policyd.tooling.coverage import Coverage, CoverageItem, Covered

_WORDS: dict[Truth, str] = {True: "true", False: "false", None: "unknown"}
_SIDES: dict[Truth, str] = {True: "to apply", False: "not to apply"}
_GREEN, _YELLOW, _RED, _BLUE, _BOLD = "32", "33", "31", "1;34", "1"
_BAR = 20
_EIGHTHS = " ▏▎▍▌▋▊▉"


def coverage_text(coverage: Coverage, *, colour: bool = False) -> str:
    """Return the view. Nothing but the bars where all is shown."""
    view = _View(colour)
    return "".join(f"{line.rstrip()}\n" for line in view.lines(coverage))


def never(item: CoverageItem) -> str:
    """Say what was not seen of an operand: `never false or unknown`, `never looked at`."""
    if len(item.unseen) == len(item.possible):
        return "never looked at"
    return "never " + " or ".join(_WORDS[value] for value in item.unseen)


def sides(item: CoverageItem) -> str:
    """Say what was not seen of a rule."""
    if len(item.unseen) == len(item.possible):
        return "which no test looks at"
    return f"which no test shows {_SIDES[item.unseen[0]]}"


class _View:
    def __init__(self, colour: bool) -> None:
        self._colour = colour

    def lines(self, coverage: Coverage) -> Iterator[str]:
        apis = sorted({part.api for part in coverage.parts})
        column = max(map(len, apis), default=0)
        for api in apis:
            yield self._summary(api, coverage.of_api(api), column)
        incomplete = [part for part in coverage.parts if not part.complete]
        for name, parts in groupby(incomplete, key=lambda part: part.source.name):
            yield ""
            yield self._paint(printable(name), _BOLD)
            for part in parts:
                yield ""
                yield from self._part(part)

    def _summary(self, api: str, coverage: Coverage, column: int) -> str:
        eighths = int(coverage.percentage * _BAR * 8 / 100)
        bar = ("█" * (eighths // 8) + _EIGHTHS[eighths % 8]).strip()
        colour = _GREEN if coverage.seen == coverage.possible else _YELLOW
        counts = f"{coverage.rounded:5.1f} %  {coverage.seen} of {coverage.possible}"
        return f"{api:<{column}}  {self._paint(f'{bar:<{_BAR}}', colour)}  {counts}"

    def _part(self, part: Covered) -> Iterator[str]:
        heading = f"{part.kind} {part.name} of {part.api}"
        if part.sides is not None and part.sides.unseen:
            heading += f", {sides(part.sides)}"
        yield f"  {self._paint(heading, _BOLD)}"
        first = part.source.position(part.span.start).line
        last = part.source.position(part.span.end - 1).line
        gutter = len(str(last)) + 2
        for number in range(first, last + 1):
            text = part.source.line(number)
            yield f"{self._paint(f'{number:>{gutter}} |', _BLUE)} {_shown(text)}"
            bar = self._paint(f"{' ' * gutter} |", _BLUE)
            for item in part.operands:
                if item.unseen and _last_line(item) == number:
                    yield f"{bar} {self._marks(item, number)}"

    def _marks(self, item: CoverageItem, number: int) -> str:
        """Underline what stands on its last line of an operand."""
        start, column = item.source.position(item.span.start)
        text = item.source.line(number)
        begin = column - 1 if start == number else len(text) - len(text.lstrip())
        end = item.source.position(item.span.end - 1).column
        indent = width(_shown(text[:begin]))
        length = width(_shown(text[:end])) - indent
        colour = _RED if len(item.unseen) == len(item.possible) else _YELLOW
        return " " * indent + self._paint(f"{'~' * length} {never(item)}", colour)

    def _paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self._colour else text


def _last_line(item: CoverageItem) -> int:
    return item.source.position(item.span.end - 1).line


def _shown(text: str) -> str:
    return printable(text.expandtabs(4))
