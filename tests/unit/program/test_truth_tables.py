"""Kleene's strong logic, complete, by the compiled program and by the interpreter."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import product

import pytest

from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.language.policy import All, Always, AnyOf, Formula, IsTrue, NamedCondition, Not, Truth
from policyd.language.types import Fact, Origin, Type
from policyd.program.interpreter import World, conjunction, disjunction, interpret, negation
from tests.support.program import (
    ATTRIBUTES,
    CLAIMS,
    ENTRIES,
    NOW_SECONDS,
    SOURCE,
    SPAN,
    api_of,
    engine,
    policy_set,
    rule,
    token,
)

VALUES: tuple[Truth, ...] = (True, False, None)
PAIRS = list(product(VALUES, repeat=2))
TRIPLES = list(product(VALUES, repeat=3))
#: Three conditions that a question can make true, false or unknown, each from another place.
FLAGS = (CLAIMS[Type.BOOL], ATTRIBUTES[Type.BOOL], ENTRIES[Type.BOOL])

AND: dict[tuple[Truth, Truth], Truth] = {
    (True, True): True,
    (True, False): False,
    (True, None): None,
    (False, True): False,
    (False, False): False,
    (False, None): False,
    (None, True): None,
    (None, False): False,
    (None, None): None,
}
OR: dict[tuple[Truth, Truth], Truth] = {
    (True, True): True,
    (True, False): True,
    (True, None): True,
    (False, True): True,
    (False, False): False,
    (False, None): None,
    (None, True): True,
    (None, False): None,
    (None, None): None,
}
NOT: dict[Truth, Truth] = {True: False, False: True, None: None}


def flag(fact: Fact) -> Formula:
    return IsTrue(SPAN, fact)


def evaluate(formula: Formula, values: Sequence[Truth]) -> Truth:
    """Evaluate a formula over FLAGS in every way there is, which must agree."""
    members: dict[Origin, dict[str, Json]] = {Origin.CLAIM: {}, Origin.RESOURCE: {}}
    for fact, value in zip(FLAGS, values, strict=False):
        members.setdefault(fact.origin, {})[fact.name] = value
    verified = token(claims=members[Origin.CLAIM])
    attributes, context = members[Origin.RESOURCE], members.get(Origin.CONTEXT, {})

    api = api_of([rule("p", "allow", formula), rule("n", "allow", Not(SPAN, formula))])
    request = Request("t", "generated", "look", "thing", "", attributes, context)
    names = engine(policy_set(api), verified).check(request).rules
    compiled = {("p",): True, ("n",): False, (): None}[names]

    denying = api_of([rule("d", "deny", formula), rule("a", "allow", Always(SPAN))])
    applies = engine(policy_set(denying), verified).check(request).rules == ("d",)
    assert applies is (compiled is not False)

    world = World(verified, "", attributes, context, NOW_SECONDS)
    traced = {each.rule.name: each for each in interpret(api, api.rules, world).rules}
    assert traced["p"].value is compiled
    assert traced["p"].applies is (compiled is True)
    assert traced["n"].applies is (compiled is False)
    denied = interpret(denying, denying.rules, world).rules[1]
    assert denied.applies is applies
    return compiled


@pytest.mark.parametrize("values", PAIRS)
def test_and(values: tuple[Truth, Truth]) -> None:
    assert evaluate(All(SPAN, (flag(FLAGS[0]), flag(FLAGS[1]))), values) is AND[values]


@pytest.mark.parametrize("values", PAIRS)
def test_or(values: tuple[Truth, Truth]) -> None:
    assert evaluate(AnyOf(SPAN, (flag(FLAGS[0]), flag(FLAGS[1]))), values) is OR[values]


@pytest.mark.parametrize("value", VALUES)
def test_not(value: Truth) -> None:
    assert evaluate(flag(FLAGS[0]), [value]) is value
    assert evaluate(Not(SPAN, flag(FLAGS[0])), [value]) is NOT[value]
    assert evaluate(Not(SPAN, Not(SPAN, flag(FLAGS[0]))), [value]) is value


@pytest.mark.parametrize("values", TRIPLES)
def test_three_operands_are_two_and_two(values: tuple[Truth, Truth, Truth]) -> None:
    operands = tuple(flag(fact) for fact in FLAGS)
    first, second, third = values
    assert evaluate(All(SPAN, operands), values) is AND[AND[first, second], third]
    assert evaluate(AnyOf(SPAN, operands), values) is OR[OR[first, second], third]
    mixed = All(SPAN, (AnyOf(SPAN, operands[:2]), Not(SPAN, operands[2])))
    assert evaluate(mixed, values) is AND[OR[first, second], NOT[third]]


@pytest.mark.parametrize("value", VALUES)
def test_no_law_of_two_valued_logic_simplifies(value: Truth) -> None:
    it = flag(FLAGS[0])
    excluded_middle = AnyOf(SPAN, (it, Not(SPAN, it)))
    contradiction = All(SPAN, (it, Not(SPAN, it)))
    assert evaluate(excluded_middle, [value]) is (None if value is None else True)
    assert evaluate(contradiction, [value]) is (None if value is None else False)


@pytest.mark.parametrize("value", VALUES)
def test_a_named_condition_is_what_it_names(value: Truth) -> None:
    named = NamedCondition(SPAN, "named", SOURCE, Not(SPAN, flag(FLAGS[0])))
    assert evaluate(named, [value]) is NOT[value]
    assert evaluate(All(SPAN, (named, Not(SPAN, named))), [value]) is AND[NOT[value], value]


def test_always() -> None:
    assert evaluate(Always(SPAN), []) is True
    assert evaluate(Not(SPAN, Always(SPAN)), []) is False


@pytest.mark.parametrize("values", PAIRS)
def test_the_functions_of_the_interpreter(values: tuple[Truth, Truth]) -> None:
    assert conjunction(values) is AND[values]
    assert disjunction(values) is OR[values]
    assert negation(values[0]) is NOT[values[0]]


def test_nothing_to_join() -> None:
    assert conjunction([]) is True
    assert disjunction([]) is False
