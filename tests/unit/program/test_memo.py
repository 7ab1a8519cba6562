"""What compilations remember of each other, and what they forget."""

from __future__ import annotations

import gc
import weakref

from policyd.language.policy import Equal, Literal, Rule
from policyd.language.types import Type
from policyd.program.compiler import Compiler
from policyd.program.functions import BoundFunction
from policyd.program.memo import Memo
from tests.support.program import ATTRIBUTES, SPAN, api_of, policy_set, rule


def test_makes_a_value_once_as_long_as_it_is_asked_for() -> None:
    memo: Memo[list[str]] = Memo()
    first = memo.get("a", lambda: ["first"])
    assert memo.get("a", lambda: ["second"]) is first
    memo.turn()
    assert memo.get("a", lambda: ["second"]) is first
    memo.turn()
    memo.turn()
    assert memo.get("a", lambda: ["third"]) == ["third"]


def test_many_at_once_are_what_each_of_them_is() -> None:
    """Also where two have one key, and where some are known from this turn or the one before."""
    memo: Memo[list[str]] = Memo()
    old = memo.get("a", lambda: ["a, old"])
    memo.turn()
    now = memo.get("b", lambda: ["b, now"])
    found = memo.get_each(["A", "b", "C", "c"], str.lower, lambda name: [name])
    assert found == [["a, old"], ["b, now"], ["C"], ["C"]]
    assert found[0] is old
    assert found[1] is now
    assert found[2] is found[3]
    memo.turn()
    assert memo.get("a", lambda: ["again"]) is old


def of_kind(number: int) -> Rule:
    literal = Literal(Type.STRING, f"kind-{number}")
    return rule("one", "allow", Equal(SPAN, ATTRIBUTES[Type.STRING], literal))


def allowing(compiler: Compiler, rules: list[Rule]) -> BoundFunction:
    program = compiler.compile(policy_set(api_of(rules))).apis["generated"]
    return program.resources["thing"].plans["look"].allows


def test_the_same_rules_have_the_same_functions() -> None:
    compiler = Compiler()
    one, other = of_kind(1), rule("one", "allow", of_kind(1).formula)
    bound = allowing(compiler, [one])
    assert allowing(compiler, [one]) is bound
    assert allowing(compiler, [other]) is not bound


def test_a_rule_that_takes_the_place_of_another_in_memory_is_another() -> None:
    compiler = Compiler()
    slot = 1 + list(ATTRIBUTES).index(Type.STRING)
    for number in range(100):
        bound = allowing(compiler, [of_kind(number)])
        resource = [None] * 20
        facts = (*resource[:slot], f"kind-{number}", *resource[slot:])
        assert bound[0]((), facts, (), 0, bound) == ["one"]


def test_a_set_that_was_replaced_goes_without_the_collector() -> None:
    """The daemon puts what it loaded out of the collector's sight."""
    compiler = Compiler()
    gc.disable()
    try:
        gone = weakref.ref(allowing(compiler, [of_kind(1)])[0])
        assert gone() is not None
        allowing(compiler, [of_kind(2)])
        assert gone() is None
    finally:
        gc.enable()
