"""Findings as people see them: `NAME.policy` is checked and shown as `NAME.txt`.

A new case is a new pair of files. The `.txt` files are written by hand or read line by line before
they are committed: carets stand under what they mean.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.diagnostics.render import render
from policyd.language import load
from policyd.language.text import read

_CASES = sorted((Path(__file__).parent / "diagnostics").glob("*.policy"))


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_findings_look_as_they_should(path: Path) -> None:
    given = read(path.name, path.read_bytes())
    found = given.diagnostics or load([given.source]).diagnostics
    expected = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert render(found) == expected
