"""Rules that change no decision, by the solver: P3043, useless_rule."""

from __future__ import annotations

import pytest

from policyd.tooling.lint.rules import useless_rule
from tests.support.lint import Case, assert_found, below_preamble

READS = "\nallow reads: read on patient\n    when scope read:patients\n"


def rule(name: str, condition: str, effect: str = "allow", actions: str = "read") -> str:
    return f"\n{effect} {name}: {actions} on patient\n    when {condition}\n"


@pytest.mark.parametrize(
    "case",
    [
        Case("P3043 none", READS),
        Case("P3043 numbers", READS.replace("reads", "few").replace(
            "read:patients", "read:patients and resource.visits < 10") + rule(
            "fewer", "scope read:patients and resource.visits < 5"), ("fewer",)),
        Case("P3043 one of two", READS + rule("twin", "scope read:patients"), ("twin",)),
        Case("P3043 never", rule("no", "resource.visits < 1 and resource.visits > 1"), ("no",)),
        Case("P3043 all denied", READS.replace("scope", "resource.sealed and scope") + rule(
            "wall", "resource.sealed", "deny"), ("reads",)),
        Case("P3043 a deny of nothing", READS + rule(
            "none", "resource.visits > 5 and resource.visits < 5", "deny"), ("none",)),
        Case("P3043 a deny for want of a value", READS + rule(
            "unknown", "token.acr == \"x\" and token.acr == \"y\"", "deny")),
        Case("P3043 another action", READS + rule("more", "scope read:patients", actions="update")),
    ],
    ids=lambda one: one.name,
)  # fmt: skip
def test_useless_rule(case: Case) -> None:
    assert_found(case)


def test_undecided(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(useless_rule, "_MOST", 0)
    (found,) = below_preamble(READS, "P3043")
    assert "is undecided" in found.headline
