"""What the linter says, as people see it: `NAME.policy` is linted and shown as `NAME.txt`.

A new case is a new pair of files, read line by line before it is committed.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from policyd.diagnostics.render import render
from policyd.language import load
from policyd.language.text import read
from policyd.tooling.lint import lint

_CASES = sorted((Path(__file__).parent / "lint").glob("*.policy"))


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_findings_look_as_they_should(path: Path) -> None:
    source = read(path.name, path.read_bytes()).source
    policies = load([source]).policies
    assert policies is not None
    expected = path.with_suffix(".txt").read_text(encoding="utf-8")
    assert render(lint(policies, [source])) == expected
