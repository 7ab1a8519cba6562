"""What the page on semantics states in tables and numbers is so."""

from __future__ import annotations

import re

from policyd.decision.combine import RULES_SHOWN
from policyd.decision.missing import ALTERNATIVES
from policyd.decision.model import MAX_DECISION_AGE
from policyd.language.types import Type
from policyd.program.interpreter import conjunction, disjunction, negation
from tests.support.documents import ROOT

TEXT = (ROOT / "docs" / "semantics.md").read_text(encoding="utf-8")
TRUTH = {"true": True, "false": False, "unknown": None}


def rows(heading: str) -> list[list[str]]:
    """Return the cells of the table that begins with a line."""
    table = TEXT.partition(f"\n{heading}\n")[2].partition("\n\n")[0].splitlines()[1:]
    return [[cell.strip() for cell in line.strip("|").split("|")] for line in table]


def test_the_truth_tables() -> None:
    found = rows("| `a` | `b` | `a and b` | `a or b` | `not a` |")
    pairs = set()
    for cells in found:
        a, b, both, either, no = (TRUTH[cell] for cell in cells)
        assert (both, either, no) == (conjunction([a, b]), disjunction([a, b]), negation(a))
        assert (both, either) == (conjunction([b, a]), disjunction([b, a]))
        pairs |= {(a, b), (b, a)}
    assert len(pairs) == len(TRUTH) ** 2


def test_values_of_every_type() -> None:
    named = {row[0].strip("`") for row in rows("| type | JSON values of the type | equal when |")}
    assert named == {type_.value for type_ in Type if type_.element is None} | {
        "a vocabulary",
        "set<T>",
    }


def test_numbers() -> None:
    assert f"An answer names at most {RULES_SHOWN}," in TEXT
    assert f"An explanation lists up to {ALTERNATIVES} sets," in TEXT
    assert f"the configured age, {MAX_DECISION_AGE} seconds by default," in TEXT


def test_the_reasons_of_a_deny_stand_in_order() -> None:
    section = TEXT.partition("\n## Reasons of a deny\n")[2]
    assert re.findall(r"^\d\. `(\w+)`", section, flags=re.MULTILINE) == [
        "INSUFFICIENT_SCOPE",
        "INSUFFICIENT_USER_AUTHENTICATION",
        "INSUFFICIENT_AUTHORIZATION_DETAILS",
        "DENIED_BY_RULE",
        "NO_RULE_ALLOWS",
    ]
