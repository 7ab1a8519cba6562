"""The code generated for small policies: `plans/NAME.policy` gives what `plans/NAME.py` shows.

They are there to be read: what each operator becomes, and how rules are found. After a change of
the generator, `python -m tests.support.listing` writes them anew; read the difference line by line
before it is committed.
"""

from __future__ import annotations

import ast
from pathlib import Path
from typing import get_args

import pytest

from policyd.language import load, policy, walks
from policyd.language.text import read
from tests.support.listing import FOLDER, listing

_CASES = sorted(FOLDER.glob("*.policy"))


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_the_code_is_what_it_should_be(path: Path) -> None:
    assert listing(path) == path.with_suffix(".py").read_text(encoding="utf-8")


@pytest.mark.parametrize("path", _CASES, ids=lambda path: path.stem)
def test_a_listing_is_python(path: Path) -> None:
    assert ast.parse(path.with_suffix(".py").read_text(encoding="utf-8")).body


def test_each_operator_is_shown() -> None:
    shown = set()
    for path in _CASES:
        policies = load([read(path.name, path.read_bytes()).source]).policies
        assert policies is not None
        for api in policies.apis.values():
            for rule in api.rules:
                shown |= {type(one) for one in walks.walk(rule.formula)}
    assert shown == set(get_args(policy.Formula))


def test_no_listing_is_left_over() -> None:
    assert {path.stem for path in FOLDER.glob("*.py")} == {path.stem for path in _CASES}
