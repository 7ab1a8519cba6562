"""Default deny, deny wins, determining rules: every case."""

from __future__ import annotations

import pytest

from policyd.decision.combine import RULES_SHOWN, CombinedEffect, combine
from policyd.decision.combine import allows as permits


@pytest.mark.parametrize(
    ("denies", "allows", "expected"),
    [
        ([], [], CombinedEffect(False, (), False)),
        ([], ["a"], CombinedEffect(True, ("a",), False)),
        ([], ["a", "b"], CombinedEffect(True, ("a", "b"), False)),
        (["d"], [], CombinedEffect(False, ("d",), False)),
        (["d"], ["a", "b", "c"], CombinedEffect(False, ("d",), False)),
        (["d", "e"], ["a"], CombinedEffect(False, ("d", "e"), False)),
        (["e", "d"], [], CombinedEffect(False, ("d", "e"), False)),
        ([], ["b", "B", "a"], CombinedEffect(True, ("B", "a", "b"), False)),
    ],
)
def test_combination(denies: list[str], allows: list[str], expected: CombinedEffect) -> None:
    assert permits((denies, allows)) == expected.allowed
    assert combine((denies, allows)) == expected


@pytest.mark.parametrize("allowed", [True, False])
def test_at_most_a_hundred_rules_are_named(allowed: bool) -> None:
    names = [f"rule-{number:03}" for number in range(RULES_SHOWN + 1)]
    full, over = names[:RULES_SHOWN], names

    def outcome(rules: list[str]) -> CombinedEffect:
        return combine(([], rules) if allowed else (rules, ["other"]))

    assert outcome(full) == CombinedEffect(allowed, tuple(full), False)
    assert outcome(over) == CombinedEffect(allowed, tuple(full), True)
    assert RULES_SHOWN == 100
