"""Walks over formulas: their parts, the operands of a test, and the facts that are read."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import assert_never

from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    EndsWith,
    Equal,
    Formula,
    Granted,
    HasAll,
    HasAny,
    HasSome,
    In,
    IsTrue,
    Leaf,
    Less,
    NamedCondition,
    Not,
    Operand,
    Present,
    StartsWith,
    SubjectIs,
    Test,
    WithinLast,
    WithinNext,
)
from policyd.language.types import TOKEN_FACTS, Fact, Origin


def walk(formula: Formula, opened: Callable[[Formula], bool] = lambda _: True) -> Iterator[Formula]:
    """All parts of a formula, from the outside in; a shared condition comes once.

    Of a part that is not to be `opened`, the parts do not come.
    """
    seen: set[int] = set()
    stack = [formula]
    while stack:
        one = stack.pop()
        if id(one) in seen:
            continue
        seen.add(id(one))
        yield one
        if not opened(one):
            continue
        match one:
            case All(operands=operands) | AnyOf(operands=operands):
                stack.extend(reversed(operands))
            case Not(operand=operand):
                stack.append(operand)
            case NamedCondition(formula=inner) | HasSome(condition=inner):
                stack.append(inner)
            case Leaf():
                pass
            case _:
                assert_never(one)


def operands(test: Test) -> tuple[Operand, ...]:
    """The facts and literals that a test is about, in order.

    `Granted` and `SubjectIs` read the token in ways of their own.
    """
    match test:
        case Always() | Granted() | SubjectIs():
            return ()
        case IsTrue(fact=fact) | Present(fact=fact) | WithinLast(fact=fact):
            return (fact,)
        case WithinNext(fact=fact):
            return (fact,)
        case StartsWith(fact=fact) | EndsWith(fact=fact):
            return (fact,)
        case Equal(left=left, right=right) | Less(left=left, right=right):
            return (left, right)
        case In(left=left, right=right) | HasAny(left=left, right=right):
            return (left, right)
        case HasAll(left=left, right=right):
            return (left, right)
        case _:
            assert_never(test)


def facts(formula: Formula) -> set[Fact]:
    """What a formula reads; see `operands`. Of a list, that is the list and no part of it."""
    found: set[Fact] = set()
    for one in walk(formula):
        found.update(own_facts(one))
    return {fact for fact in found if fact.origin is not Origin.ITEM}


def reads(formula: Formula) -> set[Fact]:
    """What a formula reads, the token's scopes among it where it asks whether one is granted."""
    found = facts(formula)
    if any(isinstance(one, Granted) for one in walk(formula)):
        found.add(TOKEN_FACTS["scopes"])
    return found


def own_facts(formula: Formula) -> tuple[Fact, ...]:
    """What a part of a formula reads by itself, and none of its parts."""
    if isinstance(formula, HasSome):
        return (formula.fact,)
    if isinstance(formula, Leaf):
        return tuple(fact for fact in operands(formula) if isinstance(fact, Fact))
    return ()
