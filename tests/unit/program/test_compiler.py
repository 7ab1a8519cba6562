"""Programs: which rules stand in a plan, and that size and depth do not matter."""

from __future__ import annotations

import pytest

from policyd.decision.model import Decision, Request
from policyd.language.policy import (
    All,
    AnyOf,
    Equal,
    Formula,
    Granted,
    Leaf,
    Literal,
    NamedCondition,
    Not,
    Rule,
)
from policyd.language.types import Type
from policyd.program.compiler import compile_policies
from policyd.program.generator import conditions_in_order
from policyd.program.interpreter import World, interpret
from tests.support.program import (
    ATTRIBUTES,
    NOW_SECONDS,
    SOURCE,
    SPAN,
    api_of,
    engine,
    policies,
    policy_set,
    rule,
    token,
)

GRANTED = Granted(SPAN, "read:x")
DENIED = Granted(SPAN, "write:x")


def check(rules: list[Rule]) -> Decision:
    """Decide by both evaluators."""
    api, verified = api_of(rules), token(["read:x"])
    decision = engine(policy_set(api), verified).check(Request("t", "generated", "look", "thing"))
    traced = interpret(api, rules, World(verified, "", {}, {}, NOW_SECONDS)).rules
    applying = {each.rule.name for each in traced if each.applies}
    assert set(decision.rules) <= applying
    assert bool(decision.rules) is bool(applying)
    return decision


def test_names_and_audiences_lead_to_the_same_program() -> None:
    text = 'api a\naudience "one"\naudience "two"\nresource r {\n    actions x\n}\n'
    loaded = policies(text)
    program = compile_policies(loaded)
    assert program.revision == loaded.revision
    assert set(program.by_name_or_audience) == {"a", "one", "two"}
    assert len({id(each) for each in program.by_name_or_audience.values()}) == 1
    assert program.apis["a"].server.name == "a"
    assert program.apis["a"].server.audiences == {"one", "two"}


def test_a_plan_holds_the_rules_of_its_action_by_name() -> None:
    rules = [
        rule("b", "deny", DENIED, actions=("look",)),
        rule("a", "allow", GRANTED, actions=("look", "touch")),
        rule("c", "allow", GRANTED, actions=("touch",)),
    ]
    plans = compile_policies(policy_set(api_of(rules))).apis["generated"].resources["thing"].plans
    assert [each.name for each in plans["look"].rules] == ["a", "b"]
    assert [each.name for each in plans["touch"].rules] == ["a", "c"]


def test_actions_with_the_same_rules_share_a_plan() -> None:
    both = [rule("a", "allow", GRANTED, actions=("look", "touch"))]
    plans = compile_policies(policy_set(api_of(both))).apis["generated"].resources["thing"].plans
    assert plans["look"] is plans["touch"]
    one = [rule("a", "allow", GRANTED, actions=("look",))]
    plans = compile_policies(policy_set(api_of(one))).apis["generated"].resources["thing"].plans
    assert plans["look"] is not plans["touch"]
    assert plans["touch"].rules == ()


@pytest.mark.parametrize("name", ["__builtins__", "denies", "now", "token_0", 'a"b', "é\n"])
def test_a_rules_name_is_no_code(name: str) -> None:
    assert check([rule(name, "allow", GRANTED)]).rules == (name,)


def test_two_hundred_levels() -> None:
    formula: Formula = GRANTED
    for level in range(50):
        formula = Not(SPAN, All(SPAN, (formula, GRANTED)))
        formula = Not(SPAN, AnyOf(SPAN, (DENIED, formula) if level % 2 else (formula, DENIED)))
    assert check([rule("a", "allow", formula)]).allowed
    assert not check([rule("a", "allow", Not(SPAN, formula))]).allowed


@pytest.mark.slow
@pytest.mark.parametrize(("last", "truth"), [(GRANTED, True), (DENIED, False)])
def test_ten_thousand_operands(last: Formula, truth: bool) -> None:
    conjunction = All(SPAN, (*[GRANTED] * 9_999, last))
    assert check([rule("a", "allow", conjunction)]).allowed is truth
    disjunction = AnyOf(SPAN, (*[DENIED] * 9_999, last))
    assert check([rule("a", "allow", disjunction)]).allowed is truth


def chain(length: int) -> NamedCondition:
    """Return a chain of conditions, each of which uses the one before twice, in both polarities."""
    made = NamedCondition(SPAN, "condition_0", SOURCE, GRANTED)
    for number in range(1, length):
        both = All(SPAN, (made, Not(SPAN, Not(SPAN, made))))
        either = AnyOf(SPAN, (both, Not(SPAN, made)))
        made = NamedCondition(SPAN, f"condition_{number}", SOURCE, either)
    return made


@pytest.mark.slow
def test_a_long_chain_of_conditions_is_evaluated_once_each() -> None:
    last = chain(2_000)
    assert check([rule("a", "allow", last), rule("d", "deny", Not(SPAN, last))]).allowed


def test_conditions_come_once_each_and_after_those_that_they_use() -> None:
    last = chain(4)
    order = list(conditions_in_order([last, Not(SPAN, last)], True))
    numbers = [int(condition.name.removeprefix("condition_")) for condition, _ in order]
    assert sorted(zip(numbers, (truth for _, truth in order), strict=True)) == [
        (number, truth) for number in range(4) for truth in (False, True)
    ]
    for at, number in enumerate(numbers):
        assert set(range(number)) <= set(numbers[:at])


def test_many_rules_on_one_action() -> None:
    rules = [
        rule(
            f"rule-{number:04}",
            "allow",
            Equal(SPAN, ATTRIBUTES[Type.INT], Literal(Type.INT, number)),
        )
        for number in range(2_000)
    ]
    asked = engine(policy_set(api_of(rules)), token())
    name = ATTRIBUTES[Type.INT].name
    request = Request("t", "generated", "look", "thing", "", {name: 1_234})
    assert asked.check(request).rules == ("rule-1234",)


def test_more_than_a_hundred_determining_rules_are_cut() -> None:
    rules = [rule(f"rule-{number:03}", "allow", GRANTED) for number in range(150)]
    decision = engine(policy_set(api_of(rules)), token(["read:x"])).check(
        Request("t", "generated", "look", "thing")
    )
    assert decision.rules == tuple(f"rule-{number:03}" for number in range(100))
    assert decision.rules_truncated


def test_a_formula_that_is_none_is_no_test() -> None:
    strange = rule("a", "allow", Leaf(SPAN))  # type: ignore[arg-type]  # of no known kind
    api = api_of([strange])
    with pytest.raises(AssertionError, match="Leaf"):
        compile_policies(policy_set(api))
    with pytest.raises(AssertionError, match="Leaf"):
        interpret(api, [strange], World(token(), "", {}, {}, 0))
