"""The linter as a whole: which rules run, in which order they speak, and that they agree."""

from __future__ import annotations

from pathlib import Path

from policyd.diagnostics import CODES
from policyd.tooling.lint import DEFAULT, NAMES
from policyd.tooling.lint import rules as rules_package
from policyd.tooling.lint.rules import RULES
from tests.support.catalogue import preamble
from tests.support.lint import allow, linted


def test_codes_names_and_modules_agree() -> None:
    assert [rule.code for rule in RULES] == sorted({rule.code for rule in RULES})
    assert set(NAMES) == {code for code in CODES if code.startswith("P3")}
    assert len(set(NAMES.values())) == len(NAMES)
    folder = Path(rules_package.__path__[0])
    modules = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    assert modules == {rule.name.replace("-", "_") for rule in RULES}


def test_rules_that_are_off_by_default() -> None:
    assert {NAMES[code] for code in NAMES if code not in DEFAULT} == {
        "condition-used-once",
        "missing-documentation",
        "useless-rule",
    }


def test_findings_are_sorted_and_selected() -> None:
    text = preamble() + allow("true") + allow('token.sub == "a"', name="Two", actions="update")
    found = linted(text)
    assert list(found) == sorted(found, key=lambda one: one.sort_key)
    assert [one.code for one in linted(text, selected={"P3036", "P3010"})] == ["P3036", "P3010"]
    assert linted(text, selected=()) == ()


def test_deep_conditions_cost_no_more_than_they_are_long() -> None:
    """Each names the one before it twice: written out, the last would have 2^23 parts."""
    defines = ["define c0 as resource.sealed"]
    for number in range(1, 24):
        joined = "or" if number % 2 else "and"
        defines.append(f"define c{number} as c{number - 1} {joined} c{number - 1}")
    rules = allow("c23") + allow("not c23 and c22", name="two")
    text = "\n".join([preamble(), *defines, rules])
    assert {one.code for one in linted(text)} >= {"P3002", "P3007", "P3033"}
