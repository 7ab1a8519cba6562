"""Each mistake of the golden files is found, with its code and at its place, and nothing else is.

A comment `//! CODE TEXT` says that TEXT, on the same line or, when the comment stands alone, on the
next line that is no such comment, is reported with CODE. (`nothing.policy` and the like.)
"""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from policyd.diagnostics import Source
from policyd.language import load

FILES = sorted((Path(__file__).parents[2] / "golden" / "checks").glob("*.policy"))
_MARK = re.compile(r"//! (P\d{4}) (.*)$")


def expected_findings(source: Source) -> list[tuple[int, str, str]]:
    """The marks of a file: line, code, and the text that is pointed at."""
    found = []
    for number in range(1, source.line_count + 1):
        match = _MARK.search(source.line(number))
        if match is None:
            continue
        target = number
        if source.line(number).startswith("//!"):
            before = source.line(number - 1) if number > 1 else ""
            follows = number < source.line_count and match[2] in source.line(number + 1)
            target = number + 1 if follows or match[2] not in before else number - 1
        found.append((target, match[1], match[2]))
    return sorted(found)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_findings(path: Path) -> None:
    source = Source(path.name, path.read_text(encoding="utf-8"))
    found = []
    for diagnostic in load([source]).diagnostics:
        assert diagnostic.primary is not None
        span = diagnostic.primary.span
        found.append(
            (
                source.position(span.start).line,
                diagnostic.code,
                source.text[span.start : span.end],
            )
        )
    assert sorted(found) == expected_findings(source)
