"""Which facts a deny lacked that applied because its condition is unknown."""

from __future__ import annotations

from collections.abc import Sequence

import pytest

from policyd.decision import unknown
from policyd.decision.model import Decision, Request
from policyd.json_types import Json
from policyd.program.index import Needs, Plan
from tests.support.program import engine, policies, token

POLICY = """\
api things

audience "https://example.com/things"

scope use "Use things"

claim level: int?
claim group: string? from "/org/group"

resource thing {
    sealed: bool?
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
