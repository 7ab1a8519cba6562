"""Which facts a deny lacked that applied because its condition is unknown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from policyd.decision import unknown
from policyd.decision.effort import Effort
from policyd.decision.model import Decision, Request
from policyd.decision.question import Question
from policyd.json_types import Json
from policyd.language.policy import All, AnyOf, Formula, IsTrue, Not
from policyd.language.types import Type
from policyd.program.index import Needs, Plan
from policyd.program.interpreter import World
from tests.support.program import ATTRIBUTES, SPAN, engine, policies, token

POLICY = """\
api things

audience "https://example.com/things"

scope use "Use things"

claim level: int?
claim group: string? from "/org/group"
claim teams: list? {
    name: string
}

context {
    site: string?
}

resource thing {
    sealed: bool?
    open:   bool?
    owner:  string?
    actions look
}

define trusted as token.level >= 3

allow look: look on thing
    when scope use

"""


def decide(
    deny: str,
    attributes: dict[str, Json] | None = None,
    claims: dict[str, Json] | None = None,
) -> Decision:
    loaded = policies(f"{POLICY}{deny}\n")
    asked = Request("t", "things", "look", "thing", "", attributes or {}, {})
    return engine(loaded, token(["use"], claims, kind=None)).check(asked)


@pytest.mark.parametrize(
    ("condition", "attributes", "claims", "facts"),
    [
        ("resource.sealed", {}, {}, ("resource.sealed",)),
        ("resource.sealed", {"sealed": True}, {}, ()),
        ("not trusted", {}, {}, ("token.level",)),
        ("not trusted", {}, {"level": "high"}, ("token.level",)),
        ("not trusted", {}, {"level": 1}, ()),
        ("resource.sealed and not trusted", {}, {}, ("resource.sealed", "token.level")),
        ("resource.sealed and not trusted", {"sealed": True}, {}, ("token.level",)),
        # What is true is not unknown, whatever else is.
        ("resource.sealed or not trusted", {"sealed": True}, {}, ()),
        ("resource.sealed or not trusted", {"sealed": False}, {}, ("token.level",)),
        ('token.sub == resource.owner or token.group == "x"', {"owner": "a"}, {"org": []},
         ("token.group", "token.sub")),
        ("token.level is missing", {}, {}, ()),
        ("token.level is missing", {}, {"level": "high"}, ("token.level",)),
        ("subject is application", {}, {}, ("subject",)),
        # Nor is something true of which a part is, or which was so the other way round.
        ("(resource.sealed and resource.open) or token.level > 5", {"sealed": True}, {"level": 1},
         ("resource.open",)),
        ("(trusted and resource.sealed) or not trusted", {}, {"level": 3}, ("resource.sealed",)),
        ('context.site == "x"', {}, {}, ("context.site",)),
        ('context.site == "x" or resource.sealed', {"sealed": False}, {}, ("context.site",)),
        ("subject is application or resource.sealed", {"sealed": False}, {}, ("subject",)),
        ("subject is application or resource.sealed", {}, {}, ("resource.sealed", "subject")),
        # Of elements the list is told.
        ('token.teams has some (item.name == "x")', {}, {}, ("token.teams",)),
        ('token.teams has some (item.name == "x")', {}, {"teams": [{}]}, ("token.teams",)),
        ('token.teams has some (item.name == "x") or resource.sealed', {"sealed": False},
         {"teams": [{}]}, ("token.teams",)),
        ('token.teams has some (item.name == "x")', {}, {"teams": [{"name": "x"}]}, ()),
    ],
)  # fmt: skip
def test_the_facts_that_a_deny_lacked(
    condition: str,
    attributes: dict[str, Json],
    claims: dict[str, Json],
    facts: tuple[str, ...],
) -> None:
    decision = decide(f"deny d: any on thing when {condition}", attributes, claims)
    assert decision.rules == ("d",)
    assert decision.unknown_facts == facts


def test_several_denies_are_told_together() -> None:
    denies = (
        "deny a: any on thing when resource.sealed\n"
        "deny b: any on thing when not trusted\n"
        "deny c: any on thing"
    )
    decision = decide(denies)
    assert decision.rules == ("a", "b", "c")
    assert decision.unknown_facts == ("resource.sealed", "token.level")


def test_denies_of_both_kinds_are_told_together() -> None:
    denies = (
        "deny a: any on thing when resource.sealed\n"
        'deny b: any on thing when token.group == "x" or context.site == "x"'
    )
    decision = decide(denies)
    assert decision.unknown_facts == ("context.site", "resource.sealed", "token.group")


def test_where_the_budget_does_not_last_some_may_lack() -> None:
    denies = (
        "deny a: any on thing when resource.sealed\n"
        'deny b: any on thing when token.group == "x" or context.site == "x"'
    )
    loaded = policies(f"{POLICY}{denies}\n")
    held = token(["use"], None, kind=None)
    asked = engine(loaded, held)
    assert asked.snapshot is not None
    plan = asked.snapshot.program.apis["things"].resources["thing"].plans["look"]
    needs = unknown.needs_of(plan, ("a", "b"))
    api = loaded.apis["things"]
    nothing = (None,) * 16
    question = Question(plan, nothing, nothing, nothing, 0)
    asked_for = World(held, "", {}, {}, 0)

    def lacking(budget: int) -> tuple[str, ...]:
        return unknown.lacking_anywhere(needs, question, api, asked_for, Effort(budget))

    parts = 3  # of the condition of `b`
    assert "token.group" in lacking(parts * unknown._TRACING)
    assert lacking(parts * unknown._TRACING - 1) == ("resource.sealed",)


def test_conjunctions_are_taken_apart() -> None:
    tests = [IsTrue(SPAN, ATTRIBUTES[Type.BOOL]) for _ in range(unknown._LONGEST + 1)]
    a, b, c, *_ = tests

    def count(formula: Formula) -> int | None:
        found = unknown._conjuncts(formula)
        return None if found is None else len(found)

    assert count(a) == 1
    assert count(All(SPAN, (a, All(SPAN, (b, c))))) == 3
    assert count(Not(SPAN, AnyOf(SPAN, (a, AnyOf(SPAN, (b, c)))))) == 3
    assert count(All(SPAN, (Not(SPAN, AnyOf(SPAN, (a, b))), c))) == 3
    assert count(Not(SPAN, Not(SPAN, All(SPAN, (a, b))))) == 2
    assert count(AnyOf(SPAN, (a, b))) is None
    assert count(Not(SPAN, All(SPAN, (a, b)))) is None
    assert count(All(SPAN, tuple(tests[:-1]))) == unknown._LONGEST
    assert count(All(SPAN, tuple(tests))) is None


def test_what_is_remembered_is_bounded() -> None:
    names = [f"flag_{number}" for number in range(10)]
    flags = "".join(f"    {name}: bool?\n" for name in names)
    denies = "".join(f"deny {name}: any on thing when resource.{name}\n" for name in names)
    text = POLICY.replace("    actions", f"{flags}    actions")
    asks = engine(policies(text + denies), token(["use"], None, kind=None))
    assert asks.snapshot is not None
    plan = asks.snapshot.program.apis["things"].resources["thing"].plans["look"]
    bound = unknown._REMEMBERED + len(plan.rules)
    held: list[int] = []
    for number in range(1, bound + 3):
        attributes: dict[str, Json] = {
            name: bool(number >> place & 1) for place, name in enumerate(names)
        }
        decision = asks.check(Request("t", "things", "look", "thing", "", attributes, {}))
        assert decision.unknown_facts == ()
        held.append(len(plan.needs))
    assert held == [*range(1, bound + 1), 1, 2]


def test_an_allow_lacks_nothing() -> None:
    decision = decide("deny d: any on thing when resource.sealed", {"sealed": False})
    assert decision.allowed
    assert decision.unknown_facts == ()


def test_a_deny_that_knows_all_is_not_traced(monkeypatch: pytest.MonkeyPatch) -> None:
    traced: list[object] = []

    def interpret(*asked: object) -> None:
        traced.append(asked)
        raise AssertionError("nothing is unknown")

    monkeypatch.setattr(unknown, "interpret", interpret)
    for condition in ("resource.sealed", "resource.sealed or resource.sealed is missing"):
        decision = decide(f"deny d: any on thing when {condition}", {"sealed": True})
        assert decision.rules == ("d",)
    assert traced == []


@pytest.mark.parametrize(
    "condition",
    [
        "resource.sealed or token.level > 3",
        "token.level > 3 or (resource.sealed and not resource.open)",
        "not (not resource.sealed and token.level > 3)",
        "not (resource.open or resource.sealed is missing) or token.level > 3",
        "barred or token.level > 3",
    ],
)
def test_a_deny_that_is_true_whatever_is_unknown_is_not_traced(
    monkeypatch: pytest.MonkeyPatch, condition: str
) -> None:
    def interpret(*_: object) -> None:
        raise AssertionError("it is true")

    monkeypatch.setattr(unknown, "interpret", interpret)
    deny = (
        f"define barred as resource.sealed or resource.open\ndeny d: any on thing when {condition}"
    )
    decision = decide(deny, {"sealed": True, "open": False})
    assert (decision.rules, decision.unknown_facts) == (("d",), ())


def test_what_each_of_many_denies_needs_is_found_once(monkeypatch: pytest.MonkeyPatch) -> None:
    count = 2 * unknown._REMEMBERED
    denies = "\n".join(
        f'deny d{number}: look on thing\n    when resource.owner == "o{number}"\n'
        for number in range(count)
    )
    asks = engine(policies(f"{POLICY}{denies}\n"), token(["use"], None, kind=None))
    find, found = unknown._needs, []

    def counted(plan: Plan, names: Sequence[str]) -> Needs:
        found.append(names)
        return find(plan, names)

    monkeypatch.setattr(unknown, "_needs", counted)
    for _ in range(2):
        for number in range(count):
            owner = {"owner": f"o{number}"}
            decision = asks.check(Request("t", "things", "look", "thing", "", owner, {}))
            assert decision.rules == (f"d{number}",)
    assert len(found) == count
