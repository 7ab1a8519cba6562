"""Decisions of now, made again by other policies."""

from __future__ import annotations

import msgspec
import pytest

from policyd.audit.schema import ShadowRecord, read_line
from policyd.replay import beside
from policyd.replay.beside import Beside
from policyd.replay.records import Shadow, read_record
from tests.support.logs import NOW, POLICY, Question, loaded, log_entries

STRICTER = POLICY.replace('"doctor" in', '"surgeon" in')
NEW_CLAIM = POLICY.replace("claim roles", "claim level: int?\n\nclaim roles").replace(
    "when resource.sealed\n", "when resource.sealed or token.level == 3\n"
)


class Run:
    """Policies that decide, and a shadow beside them."""

    def __init__(self, shadow: str) -> None:
        self.serving = loaded()
        self.lines: list[bytes] = []
        self.beside = Beside(loaded(shadow), "c0ffee", self.serving, 0.5, self.lines.append, NOW)

    def decide(self, *questions: Question) -> list[str]:
        return [self.beside.decide(one) for one in log_entries(questions, self.serving)]


def test_what_differs_is_counted_by_both_rules_and_written_down() -> None:
    run = Run(STRICTER)
    sealed = Question(sealed=True)
    assert run.decide(sealed, Question(), sealed) == ["differs", "same", "differs"]
    compared = run.beside.compared
    assert compared.results == {"differs": 2, "same": 1}
    ((difference, seen),) = compared.differences.items()
    assert (difference.before, difference.rules_before) == ("allowed", ("reads",))
    assert (difference.after, difference.rules_after) == ("denied", ("sealed",))
    assert (seen.count, seen.decision_id, seen.first) == (2, "d-2", NOW)
    first, second = map(read_line, run.lines)
    assert isinstance(first, ShadowRecord)
    assert isinstance(second, ShadowRecord)
    assert (first.decision_id, second.decision_id) == ("d-0", "d-2")
    assert (first.effect, first.rules) == ("allow", ("reads",))
    assert (first.shadow_answers, first.shadow_rules) == (("deny",), ("sealed",))
    assert first.revision == run.serving.revision
    assert (first.shadow_revision, first.shadow_commit) == (run.beside.policies.revision, "c0ffee")
    assert first.sample_rate == 0.5
    assert isinstance(read_record(run.lines[0]), Shadow), "no decision, for who decides again"


def test_the_same_policies_differ_in_nothing() -> None:
    run = Run(POLICY)
    asked = [
        Question(sealed=sealed, roles=roles, action=action)
        for sealed in (True, False)
        for roles in ((), ("doctor",))
        for action in ("read", "update")
    ]
    assert set(run.decide(*asked)) == {"same"}
    assert run.lines == []


def test_what_was_not_declared_is_doubt_and_no_difference() -> None:
    run = Run(NEW_CLAIM)
    # No doctor: what the deny reads decides.
    assert run.decide(Question(roles=()), Question()) == ["cannot tell", "same"]
    ((doubt, seen),) = run.beside.compared.doubts.items()
    assert doubt.causes == (("token.level", "not declared then, or in another place"),)
    assert seen.count == 1
    assert run.lines == []


def test_the_memory_of_differences_is_bounded(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(beside, "GROUPS", 1)
    run = Run(STRICTER.replace("allow writes", "allow writing"))
    asked = [Question(sealed=True), Question(sealed=True, action="update", claims=WRITER)]
    assert run.decide(*asked) == ["differs", "differs"]
    compared = run.beside.compared
    assert (len(compared.differences), compared.beyond) == (1, 1)
    assert len(run.lines) == 2, "each is written down all the same"


WRITER = {"scope": "write:patients"}


def test_figures_are_a_copy() -> None:
    run = Run(STRICTER)
    run.decide(Question(sealed=True))
    copied = run.beside.compared.copied()
    before = msgspec.to_builtins(list(copied.differences.values()))
    run.decide(Question(sealed=True))
    assert msgspec.to_builtins(list(copied.differences.values())) == before
    assert copied.results.total() == 1
