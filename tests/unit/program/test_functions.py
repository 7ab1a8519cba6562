"""Generated functions: one for rules of one shape, long tables stop, indexes are followed."""

from __future__ import annotations

from types import FunctionType

import pytest

from policyd.decision.combine import RULES_SHOWN
from policyd.decision.model import Decision, Request
from policyd.json_types import Json
from policyd.language.policy import (
    All,
    Equal,
    Formula,
    Granted,
    Less,
    Literal,
    NamedCondition,
    Not,
    Rule,
)
from policyd.language.types import TOKEN_FACTS, Type
from policyd.program.compiler import compile_policies
from policyd.program.functions import BoundFunction
from policyd.program.layout import Facts
from tests.support.program import ATTRIBUTES, SOURCE, SPAN, api_of, engine, policy_set, rule, token

LEVEL, KIND, CLIENT = ATTRIBUTES[Type.INT], ATTRIBUTES[Type.STRING], TOKEN_FACTS["client"]
READ = Granted(SPAN, "read:x")


def below(number: int) -> Formula:
    return Less(SPAN, LEVEL, Literal(Type.INT, number), False)


def of_kind(number: int) -> Formula:
    return Equal(SPAN, KIND, Literal(Type.STRING, f"kind-{number}"))


def of_client(number: int) -> Formula:
    return Equal(SPAN, CLIENT, Literal(Type.STRING, f"app-{number}"))


def check(rules: list[Rule], attributes: dict[str, Json], client: str | None = None) -> Decision:
    asked = engine(policy_set(api_of(rules)), token(["read:x"], client=client))
    return asked.check(Request("t", "generated", "look", "thing", "", attributes))


def allowing(rules: list[Rule], action: str = "look") -> BoundFunction:
    program = compile_policies(policy_set(api_of(rules))).apis["generated"]
    return program.resources["thing"].plans[action].allows


def ask(bound: BoundFunction, token: Facts) -> list[str]:
    return bound[0](token, (), (), 0, bound)


def code(rules: list[Rule]) -> object:
    function = allowing(rules)[0]
    assert isinstance(function, FunctionType)
    return function.__code__


def test_the_same_of_other_constants_is_the_same_code() -> None:
    rules = [
        rule("a", "allow", All(SPAN, (READ, of_kind(1)))),
        rule("b", "allow", below(1)),
        rule("c", "allow", below(2), actions=("touch",)),
        rule("d", "allow", All(SPAN, (Granted(SPAN, "write:x"), of_kind(2))), actions=("touch",)),
    ]
    program = compile_policies(policy_set(api_of(rules))).apis["generated"]
    look, touch = (program.resources["thing"].plans[action] for action in ("look", "touch"))
    assert look.allows[0] is touch.allows[0]
    assert look.allows != touch.allows
    assert look.denies[0] is not look.allows[0]


def test_other_conditions_are_other_code() -> None:
    """The rules read the same: a condition, by its number."""
    conditions = {
        "look": NamedCondition(SPAN, "c", SOURCE, READ),
        "touch": NamedCondition(SPAN, "c", SOURCE, Not(SPAN, READ)),
    }
    rules = [
        rule(action, "allow", condition, actions=(action,))
        for action, condition in conditions.items()
    ]
    program = compile_policies(policy_set(api_of(rules))).apis["generated"]
    look, touch = (program.resources["thing"].plans[action].allows for action in conditions)
    granted = (frozenset({"read:x"}), "user")
    assert (ask(look, granted), ask(touch, granted)) == (["look"], [])


def test_the_code_of_many_rules_is_no_longer_than_that_of_a_few() -> None:
    few, many = ([rule(f"{n:04}", "allow", below(n)) for n in range(size)] for size in (2, 90))
    assert code(few) == code(many)


@pytest.mark.parametrize("effect", ["allow", "deny"])
@pytest.mark.parametrize("bound", [RULES_SHOWN - 1, RULES_SHOWN, RULES_SHOWN + 1, 200])
def test_a_long_table_is_cut_where_the_answer_is(effect: str, bound: int) -> None:
    """Names run against the numbers; of another shape there are rules before, between and after."""
    rules = [
        rule(f"{n:04}", "deny" if effect == "deny" else "allow", below(300 - n)) for n in range(300)
    ]
    others = [
        rule(f"{n:04}-other", "deny" if effect == "deny" else "allow", Not(SPAN, below(n - 500)))
        for n in (0, 50, 299)
    ]
    level = 300 - bound
    names = sorted([f"{n:04}" for n in range(bound)] + [other.name for other in others])
    alone = check(rules, {LEVEL.name: level})
    assert alone.rules == tuple(f"{n:04}" for n in range(bound))[:RULES_SHOWN]
    assert alone.rules_truncated is (bound > RULES_SHOWN)
    among = check(rules + others, {LEVEL.name: level})
    assert among.rules == tuple(names[:RULES_SHOWN])
    assert among.rules_truncated


def test_neighbours_that_read_the_same_keep_their_places() -> None:
    """In turn two numbers: rows of one rule each, of which the second half of a hundred is cut."""
    rules = [rule(f"{n:04}", "allow", below(n % 2 + 1)) for n in range(300)]
    assert check(rules, {LEVEL.name: 1}).rules == tuple(f"{n:04}" for n in range(1, 200, 2))
    assert check(rules, {LEVEL.name: 0}).rules == tuple(f"{n:04}" for n in range(RULES_SHOWN))


@pytest.mark.parametrize(
    ("kind", "client", "names"),
    [
        ("kind-3", "app-7", ["03-07"]),
        ("kind-3", "app-x", []),
        ("kind-3", None, [f"03-{n:02}" for n in range(20)]),
        (None, "app-7", [f"{n:02}-07" for n in range(20)]),
        (None, "app-x", []),
        (None, None, [f"{n:02}-{m:02}" for n in range(20) for m in range(20)][:RULES_SHOWN]),
    ],
)
def test_denies_by_two_facts_come_back_where_one_is_unknown(
    kind: str | None, client: str | None, names: list[str]
) -> None:
    rules = [
        rule(f"{n:02}-{m:02}", "deny", All(SPAN, (of_kind(n), of_client(m))))
        for n in range(20)
        for m in range(20)
    ]
    rules.append(rule("z", "allow", READ))
    decision = check(rules, {KIND.name: kind}, client)
    assert decision.rules == tuple(names or ["z"])
    assert decision.allowed is (not names)


@pytest.mark.parametrize(("kind", "client"), [(None, "app-7"), ("kind-3", None), (None, None)])
def test_allows_by_two_facts_do_not(kind: str | None, client: str | None) -> None:
    rules = [
        rule(f"{n:02}-{m:02}", "allow", All(SPAN, (of_kind(n), of_client(m))))
        for n in range(20)
        for m in range(20)
    ]
    assert not check(rules, {KIND.name: kind}, client).allowed
    assert check(rules, {KIND.name: "kind-3"}, "app-7").rules == ("03-07",)


def test_of_many_scopes_those_granted_are_looked_up() -> None:
    scopes = [f"s{n}:x" for n in range(40)]
    rules = [rule(f"by-{scope}", "allow", Granted(SPAN, scope)) for scope in scopes]
    bound = allowing(rules)
    granted = frozenset({"s7:x", "s30:x", "unheard:of"})
    assert sorted(ask(bound, (granted, "user"))) == ["by-s30:x", "by-s7:x"]
    assert ask(bound, (frozenset(), "user")) == []
