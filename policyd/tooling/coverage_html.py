"""Coverage as one HTML page: every policy file, each operand with the values that tests have shown.

The page needs no script, no network and no second file, and follows the reader's choice of light or
dark. What is said by colour is said in words too.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from itertools import groupby

import msgspec

from policyd.diagnostics import Source
from policyd.diagnostics.terminal import printable
from policyd.language.policy import Truth
from policyd.tooling.coverage import Coverage, CoverageItem, Covered
from policyd.tooling.coverage_text import never

_LETTERS: dict[Truth, tuple[str, str]] = {
    True: ("T", "true"),
    False: ("F", "false"),
    None: ("U", "unknown"),
}
_ONE_SIDED: dict[Truth, str] = {True: "never applies", False: "always applies"}

_STYLE = """
:root { color-scheme: light dark;
  --text: light-dark(#1f2328, #e6edf3); --quiet: light-dark(#59636e, #9198a1);
  --ground: light-dark(#ffffff, #0d1117); --panel: light-dark(#f6f8fa, #151b23);
  --line: light-dark(#d1d9e0, #3d444d);
  --good: light-dark(#116329, #56d364); --good-ground: light-dark(#dafbe1, #12361f);
  --some: light-dark(#7d4e00, #e3b341); --some-ground: light-dark(#fff1c2, #3d2e08);
  --none: light-dark(#a40e26, #ff7b72); --none-ground: light-dark(#ffe2e0, #4b1516); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 82rem; padding: 2rem 1.5rem 4rem; color: var(--text);
  background: var(--ground); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font: 600 1rem/1.5 ui-monospace, monospace; margin: 2.5rem 0 .5rem; }
p { color: var(--quiet); margin: 0 0 1.5rem; }
.apis { border-collapse: collapse; width: 100%; max-width: 44rem; }
.apis td, .apis th { padding: .3rem .9rem .3rem 0; text-align: left; font-weight: normal; }
.apis .number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap; }
.bar { background: var(--line); border-radius: 4px; height: 8px; overflow: hidden; width: 16rem; }
.bar i { display: block; height: 100%; background: var(--some); }
.bar i.full { background: var(--good); }
.file { border: 1px solid var(--line); border-radius: 6px; overflow-x: auto; }
.file table { border-collapse: collapse; width: 100%; font: 13px/1.65 ui-monospace, monospace; }
.file td { padding: 0 .75rem; vertical-align: top; white-space: pre; }
.file td:first-child { color: var(--quiet); text-align: right; user-select: none; width: 1%;
  border-right: 1px solid var(--line); background: var(--panel); }
.file td:last-child { text-align: right; width: 1%; }
mark { color: inherit; border-radius: 3px; padding: 1px 0; background: var(--good-ground); }
mark.some { background: var(--some-ground); }
mark.none { background: var(--none-ground); }
.seen { font-size: 10px; font-weight: 600; margin-left: 3px; vertical-align: 2px; }
.seen b { border-radius: 2px; padding: 0 3px; margin-right: 1px; color: var(--good);
  border: 1px solid var(--good); }
.seen b.not { color: var(--none); border: 1px dashed var(--none); }
.side { color: var(--good); } .lacks { color: var(--none); font-weight: 600; }
.comment { color: var(--quiet); }
"""


def coverage_html(coverage: Coverage) -> str:
    """Return the page."""
    body = "".join(
        _file(parts[0].source, parts)
        for parts in (
            list(group) for _, group in groupby(coverage.parts, key=lambda part: part.source.name)
        )
    )
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Policy coverage: {coverage.rounded:.1f} %</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{coverage.rounded:.1f} % of the policies are shown by tests</h1>\n"
        "<p>Each rule is shown when it applies and when it does not; each operand "
        '<span class="seen"><b>T</b></span> true, <span class="seen"><b>F</b></span> false and, '
        'where a value may be missing, <span class="seen"><b>U</b></span> unknown. '
        '<span class="seen"><b class="not">F</b></span> is what no test shows.</p>\n'
        f"{_apis(coverage)}{body}</body>\n</html>\n"
    )


def _apis(coverage: Coverage) -> str:
    rows = []
    for name in sorted({part.api for part in coverage.parts}):
        one = coverage.of_api(name)
        full = ' class="full"' if one.seen == one.possible else ""
        rows.append(
            f"<tr><th>{_text(name)}</th>"
            f'<td><div class="bar"><i{full} style="width:{one.percentage:.1f}%"></i></div></td>'
            f'<td class="number">{one.rounded:.1f} %</td>'
            f'<td class="number">{one.seen} of {one.possible}</td></tr>\n'
        )
    return f'<table class="apis">\n{"".join(rows)}</table>\n'


def _file(source: Source, parts: Sequence[Covered]) -> str:
    marks = sorted(_marks(parts), key=lambda mark: mark.start)
    rows = []
    for number in range(1, source.line_count + 1):
        if number == source.line_count and not source.line(number):
            break
        notes = "; ".join(_notes(parts, source, number))
        code = _line(source, number, [mark for mark in marks if mark.line == number])
        rows.append(f"<tr><td>{number}</td><td>{code}</td><td>{notes}</td></tr>\n")
    return (
        f'<h2>{_text(source.name)}</h2>\n<div class="file"><table>\n{"".join(rows)}</table></div>\n'
    )


class _Mark(msgspec.Struct, frozen=True):
    """Code points `[start, end)` of a line that belong to an operand; `last`: no more follow."""

    line: int
    start: int
    end: int
    item: CoverageItem
    last: bool


def _marks(parts: Sequence[Covered]) -> Iterator[_Mark]:
    for part in parts:
        for item in part.operands:
            first, start = part.source.position(item.span.start)
            last, end = part.source.position(item.span.end - 1)
            for number in range(first, last + 1):
                text = part.source.line(number)
                begin = start - 1 if number == first else len(text) - len(text.lstrip())
                stop = end if number == last else len(text)
                yield _Mark(number, begin, stop, item, number == last)


def _line(source: Source, number: int, marks: Sequence[_Mark]) -> str:
    text = source.line(number)
    if text.lstrip().startswith("//"):
        return f'<span class="comment">{_text(text)}</span>'
    shown, at = [], 0
    for mark in marks:
        shown.append(_text(text[at : mark.start]))
        shown.append(_operand(text[mark.start : mark.end], mark))
        at = mark.end
    return "".join([*shown, _text(text[at:])])


def _operand(text: str, mark: _Mark) -> str:
    item = mark.item
    missing = len(item.unseen)
    kind = "none" if missing == len(item.possible) else "some" if missing else "full"
    said = never(item) if missing else "shown in full"
    values = "".join(_value(value, item) for value in item.possible) if mark.last else ""
    badges = f'<span class="seen">{values}</span>' if values else ""
    return f'<mark class="{kind}" title="{said}">{_text(text)}</mark>{badges}'


def _value(value: Truth, item: CoverageItem) -> str:
    letter, word = _LETTERS[value]
    if value in item.seen:
        return f'<b title="seen {word}">{letter}</b>'
    return f'<b class="not" title="never {word}">{letter}</b>'


def _notes(parts: Sequence[Covered], source: Source, number: int) -> Iterator[str]:
    """Yield what is said at the end of a line on which rules begin."""
    for part in parts:
        if part.sides is not None and source.position(part.span.start).line == number:
            yield _side(part.sides)


def _side(item: CoverageItem) -> str:
    if len(item.unseen) == len(item.possible):
        return '<span class="lacks">no test looks at it</span>'
    if item.unseen:
        return f'<span class="lacks">{_ONE_SIDED[item.unseen[0]]}</span>'
    return '<span class="side">applies, and does not</span>'


def _text(text: str) -> str:
    return escape(printable(text.expandtabs(4)))
