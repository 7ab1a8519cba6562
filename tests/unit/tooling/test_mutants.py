"""Mutants: what changes, where it says so, and that the change is what it says."""

from __future__ import annotations

import pytest

from policyd.diagnostics import Source
from policyd.language import load, policy, walks
from policyd.tooling.mutant import Mutant
from policyd.tooling.mutants import mutants
from tests.support.catalogue import preamble


def _api(rules: str) -> policy.Api:
    loaded = load([Source("health.policy", f"{preamble()}\n{rules}\n")])
    assert loaded.policies is not None, [found.headline for found in loaded.diagnostics]
    return loaded.policies.apis["health"]


def _mutants(rules: str) -> list[Mutant]:
    return list(mutants(_api(rules)))


def _said(rules: str, owner: str = "allow r") -> list[tuple[str, str]]:
    """Return the changes of one rule: the text of the place, and what becomes of it."""
    return [
        (mutant.label.source.text[slice(*mutant.label.span)], mutant.label.message)
        for mutant in _mutants(rules)
        if mutant.owner == owner
    ]


def _rule(condition: str, actions: str = "read, update") -> str:
    return f"allow r: {actions} on patient\n    when {condition}"


A, B = "resource.sealed", "scope read:patients"
_HEADING = [("allow r", "dropped"), ("allow r", "not for `read`"), ("allow r", "not for `update`")]


@pytest.mark.parametrize(
    ("condition", "changes"),
    [
        ("true", []),
        (A, [(A, "always true"), (A, "negated")]),
        (
            f"{A} and {B}",
            [
                (f"{A} and {B}", "always true"),
                (A, "left out"),
                (B, "left out"),
                (B, "negated"),
                (A, "negated"),
            ],
        ),
        (
            f"{A} or {B}",
            [
                (f"{A} or {B}", "always true"),
                (A, "left out"),
                (A, "always true"),
                (B, "left out"),
                (B, "always true"),
                (B, "negated"),
                (A, "negated"),
            ],
        ),
        (
            f"not ({A} and {B})",
            [
                (f"{A} and {B}", "always true"),
                (f"{A} and {B}", "negated"),
                (A, "left out"),
                (B, "left out"),
                (B, "negated"),
                (A, "negated"),
            ],
        ),
        (
            f"{A}\n    unless {B}",
            [
                (f"{A}\n    unless {B}", "always true"),
                (A, "left out"),
                (B, "left out"),
                (B, "negated"),
                (A, "negated"),
            ],
        ),
    ],
)
def test_changes_of_a_condition(condition: str, changes: list[tuple[str, str]]) -> None:
    found = _said(_rule(condition))
    assert found[:3] == _HEADING
    assert [(text.removeprefix("when "), said) for text, said in found[3:]] == changes


@pytest.mark.parametrize(
    ("test", "changes"),
    [
        ("resource.visits > 3", ["with the bound itself"]),
        ("resource.visits <= 3", ["without the bound itself"]),
        ("token.auth_time within last 15m", ["within twice the time", "within half the time"]),
        ('token.roles has any ["a"]', []),
        (
            'token.roles has any ["a", "b"]',
            ["with `has all` instead", "without `a` in the list", "without `b` in the list"],
        ),
        ("token.roles has all token.scopes", ["with `has any` instead"]),
        ('token.sub in ["a", "b"]', ["without `a` in the list", "without `b` in the list"]),
        ('token.sub in ["a"]', []),
        ('token.sub != "a"', []),
        ("token.sub is missing", []),
        ("subject is user", []),
    ],
)
def test_neighbours_of_a_test(test: str, changes: list[str]) -> None:
    found = _said(_rule(test))[len(_HEADING) :]
    assert found == [(test, said) for said in ["always true", "negated", *changes]]


def test_actions() -> None:
    assert _said(_rule("true", actions="read"))[1:] == [("allow r", "for every action")]
    (_, wider) = _mutants(_rule("true", actions="read"))
    assert wider.api.rules[0].actions == ("read", "update")
    dropped, no_read, no_update = _mutants(_rule("true"))
    assert dropped.api.rules == ()
    assert (no_read.api.rules[0].actions, no_update.api.rules[0].actions) == (
        ("update",),
        ("read",),
    )


def test_a_condition_changes_wherever_it_is_used() -> None:
    api = _api(
        "define inner as resource.visits > 1\n"
        "define outer as inner and resource.sealed\n"
        "allow r: read on patient when outer\n"
        "allow s: update on patient when not outer and inner"
    )
    (mutant,) = [
        one for one in mutants(api)
        if one.owner == "define inner" and one.label.message == "with the bound itself"
    ]  # fmt: skip
    before = [one for rule in api.rules for one in walks.walk(rule.formula)]
    after = [one for rule in mutant.api.rules for one in walks.walk(rule.formula)]
    assert [type(one) for one in before] == [type(one) for one in after]
    bounds = [one.or_equal for one in after if isinstance(one, policy.Less)]
    assert bounds == [True, True]
    # one object a condition, as before
    shared = {id(one) for one in after if isinstance(one, policy.NamedCondition)}
    assert len(shared) == len({id(one) for one in before if isinstance(one, policy.NamedCondition)})


def test_the_name_of_a_condition_is_found_in_the_clauses() -> None:
    rules = (
        "define strong as token.acr is present\n"
        "deny strong: read on patient\n    when resource.sealed\n    unless strong"
    )
    text = f"{preamble()}\n{rules}\n"
    places = {
        mutant.label.span.start
        for mutant in _mutants(rules)
        if mutant.label.message == "left out" and mutant.label.source.text[
            slice(*mutant.label.span)
        ] == "strong"
    }  # fmt: skip
    assert places == {text.rindex("strong")}


def test_what_is_not_changed_stays_as_it_is() -> None:
    api = _api(_rule(f"{A} and {B}"))
    for mutant in mutants(api):
        assert mutant.api.resources is api.resources
        assert mutant.api.scopes is api.scopes
        assert len(mutant.api.rules) in (0, 1)


def test_long_chains_of_conditions() -> None:
    chain = "".join(f"define c{n} as c{n - 1} or resource.visits == {n}\n" for n in range(1, 25))
    api = _api(f"define c0 as resource.sealed\n{chain}allow r: read on patient when c24")
    assert sum(1 for _ in mutants(api)) > 100


def test_a_rule_on_several_resources_is_one_rule() -> None:
    rules = "resource bill {\n    number: int\n    actions list\n}\n"
    rules += "allow r: list on bill, invoice\n    when resource.number == 1"
    found = [mutant for mutant in _mutants(rules) if mutant.owner == "allow r"]
    assert [mutant.label.message for mutant in found] == [
        "dropped",
        *(["for every action"] if len(_api(rules).resources["invoice"].actions) > 1 else []),
        "not on `bill`",
        "not on `invoice`",
        "always true",
        "negated",
    ]
    assert found[0].api.rules == ()
    assert [rule.resource for rule in found[-4].api.rules] == ["invoice"]
    assert all(isinstance(rule.formula, policy.Not) for rule in found[-1].api.rules)


DECLARED = """
scope all:things "Everything" includes read:patients, write:patients
claim staff: string? from "/staff" of "https://a.example/"
claim anybody: string?
userinfo mail: string? of "https://b.example/"
allow r: read on patient
    when scope read:patients
"""


def test_declarations() -> None:
    found = [one for one in _mutants(DECLARED) if not one.owner.startswith("allow")]
    assert [
        (one.owner, one.label.source.text[slice(*one.label.span)], one.label.message)
        for one in found
    ] == [
        ("scope all:things", "read:patients", "no longer included"),
        ("scope all:things", "write:patients", "no longer included"),
        ("claim staff", '"https://a.example/"', "or any other issuer"),
        ("userinfo mail", '"https://b.example/"', "or any other issuer"),
    ]
    without_read, _, staff, mail = (one.api for one in found)
    assert without_read.inclusion.closed(frozenset({"all:things"})) == {
        "all:things",
        "write:patients",
    }
    assert staff.claims["staff"].issuer is None
    assert staff.userinfo["mail"].issuer == "https://b.example/"
    assert mail.userinfo["mail"].issuer is None


def test_what_a_scope_still_includes_by_way_of_another_stays() -> None:
    rules = (
        'scope a:x "A" includes b:x, c:x\nscope b:x "B" includes c:x\nscope c:x "C"\n'
        "allow r: read on patient\n    when scope c:x"
    )
    found = [one for one in _mutants(rules) if one.owner == "scope a:x"]
    closed = [one.api.inclusion.closed(frozenset({"a:x"})) for one in found]
    assert closed == [{"a:x", "c:x"}, {"a:x", "b:x", "c:x"}]


def test_a_rule_is_for_no_action_that_lacks_what_it_reads() -> None:
    rules = (
        "resource bill {\n    why: string (for pay refund)\n    actions list, pay, refund\n}\n"
        'allow r: pay on bill\n    when resource.why == "a"\n'
        'allow s: pay, refund on bill\n    when resource.why == "a"'
    )
    found = _mutants(rules)
    (wider,) = (one for one in found if one.label.message == "for every action")
    assert wider.owner == "allow r"
    assert wider.api.rules[0].actions == ("pay", "refund")
