"""Conditions as Python expressions: Kleene's three values by two-valued code.

For a condition c there are two expressions: `holds`, that c is true, and `fails`, that c is false;
c is unknown when neither is. They follow each other through the connectives,

    a and b   holds when both hold,     fails when one fails
    a or b    holds when one holds,     fails when both fail
    not a     holds when a fails,       fails when a holds

and end at tests, whose operands may be unknown (`None`):

    some a    holds when a holds of one element,  fails when a fails of all, of a list that is known

    a test    holds when its operands are known and it is so,
              fails when its operands are known and it is not so

Nothing is simplified: `c or not c` must stay unknown when `c` is. The expressions are `ast` nodes,
never source text; their depth is that of the formula, between one named condition and the next.
They hold nothing of a policy but its shape: facts and constants are read from locals.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Sequence
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
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Origin
from policyd.program import values
from policyd.program.layout import KIND_SLOT
from policyd.program.reads import AHEAD
from policyd.program.shape import CLOCK, ITEM, TOKEN, Abstract, Locals, holds_blocks
from policyd.program.syntax import (
    AT,
    both,
    call,
    compare,
    constant,
    either,
    for_each,
    is_known,
    item,
    method,
    name,
    negation,
)

#: What generated code may call.
HELPERS: dict[str, object] = {
    function.__name__: function
    for function in (
        len,
        any,
        all,
        values.in_blocks,
        values.any_in_blocks,
        values.all_blocks_hit,
        values.keys_among,
    )
}


class Slots:
    """The locals of one generated function that hold facts: those that its code asks for."""

    def __init__(self, names: Locals) -> None:
        self._names = names
        self._used: dict[str, None] = {}

    def used(self) -> list[str]:
        """Return the locals that were asked for, the clock aside."""
        return list(self._used)

    def read(self, local: str) -> ast.expr:
        if local != CLOCK:
            self._used[local] = None
        return name(local)

    def fact(self, fact: Fact, of: Fact | None = None) -> ast.expr:
        """Return what reads a fact; `of` is the list to whose elements a field belongs."""
        if of is not None and fact.origin is Origin.ITEM:
            return item(ITEM, of.field_number(fact))
        return self.read(self._names.fact(fact))

    def presence(self, fact: Fact, of: Fact | None = None) -> ast.expr | None:
        """Return what says whether a fact is present, if it has a slot for that."""
        if of is not None and fact.origin is Origin.ITEM:
            return item(ITEM, len(of.record) + of.field_number(fact))
        local = self._names.presence(fact)
        return None if local is None else self.read(local)

    def kind(self) -> ast.expr:
        return self.read(f"{TOKEN}_{KIND_SLOT}")


def condition_local(number: int, truth: bool) -> str:
    """Return the local that says that a named condition is known, and is `truth`."""
    return f"condition_{number}_{'holds' if truth else 'fails'}"


class FormulaLowering:
    """One formula to expressions. `constants` are the locals that hold its constants, and `number`
    tells the number of a named condition."""

    def __init__(
        self,
        abstract: Abstract,
        constants: Sequence[str],
        slots: Slots,
        number: Callable[[NamedCondition], int],
    ) -> None:
        self._abstract = abstract
        self._constants = constants
        self._slots = slots
        self._number = number
        self._list: Fact | None = None  # around what is lowered

    def holds(self) -> ast.expr:
        """Return the expression for: the formula is true."""
        return self.known(True)

    def fails(self) -> ast.expr:
        """Return the expression for: the formula is false."""
        return self.known(False)

    def known(self, truth: bool) -> ast.expr:
        """Return the expression for: the formula is known, and is `truth`."""
        return self._lower(self._abstract.formula, truth)

    def _lower(self, formula: Formula, truth: bool) -> ast.expr:
        match formula:
            case All(operands=operands):
                joined = [self._lower(operand, truth) for operand in operands]
                return both(joined) if truth else either(joined)
            case AnyOf(operands=operands):
                joined = [self._lower(operand, truth) for operand in operands]
                return either(joined) if truth else both(joined)
            case Not(operand=operand):
                return self._lower(operand, not truth)
            case NamedCondition():
                return name(condition_local(self._number(formula), truth))
            case HasSome(fact=fact, condition=inner):
                return self._some(fact, inner, truth)
            case Leaf():
                known, relation = self._test(formula)
                return both([*known, relation if truth else negation(relation)])
            case _:
                assert_never(formula)

    def _some(self, fact: Fact, condition: Formula, truth: bool) -> ast.expr:
        """It holds when the condition holds of one element, and fails when it fails of all."""
        elements = self._slots.fact(fact)
        self._list = fact
        of_each = self._lower(condition, truth)
        self._list = None
        asked = call(name("any" if truth else "all"), for_each(ITEM, elements, of_each))
        return both([is_known(elements), asked])

    def _test(self, test: Test) -> tuple[list[ast.expr], ast.expr]:
        """Return what says that the operands of a test are known, and the test on known ones."""
        slots, held = self._slots, self._held(test)
        match test:
            case Always():
                return [], ast.Constant(True, **AT)
            case Granted():
                return [], compare(next(held), ast.In(), slots.fact(TOKEN_FACTS["scopes"]))
            case SubjectIs():
                return [is_known(slots.kind())], compare(slots.kind(), ast.Eq(), next(held))
            case Present(fact=fact):
                presence = slots.presence(fact, self._list)
                if presence is None:
                    return [], is_known(slots.fact(fact, self._list))
                return [is_known(presence)], presence
            case IsTrue(fact=fact):
                return self._known(fact), slots.fact(fact, self._list)
            case StartsWith(fact=fact):
                return self._known(fact), method(
                    slots.fact(fact, self._list), "startswith", next(held)
                )
            case EndsWith(fact=fact):
                return self._known(fact), method(
                    slots.fact(fact, self._list), "endswith", next(held)
                )
            case WithinLast(fact=fact):
                time = slots.fact(fact, self._list)
                return self._known(fact), _within(time, next(held), constant(AHEAD))
            case WithinNext(fact=fact):
                time = slots.fact(fact, self._list)
                return self._known(fact), _within(time, constant(AHEAD), next(held))
            case Less(left=left, right=right, or_equal=or_equal):
                operator = ast.LtE() if or_equal else ast.Lt()
                relation = compare(self._operand(left, held), operator, self._operand(right, held))
                return self._known(left, right), relation
            case (
                Equal(left=left, right=right)
                | In(left=left, right=right)
                | HasAny(left=left, right=right)
                | HasAll(left=left, right=right)
            ):
                relate = _ON_BLOCKS if holds_blocks(right) else _ON_VALUES
                relation = relate[type(test)](self._operand(left, held), self._operand(right, held))
                return self._known(left, right), relation
            case _:
                assert_never(test)

    # -- operands ----------------------------------------------------------------------------

    def _held(self, test: Test) -> Iterator[ast.expr]:
        """Return what reads the constants of a test, and of those behind it, in their order."""
        return map(name, self._constants[self._abstract.places[id(test)] :])

    def _operand(self, operand: Operand, held: Iterator[ast.expr]) -> ast.expr:
        if isinstance(operand, Fact):
            return self._slots.fact(operand, self._list)
        return next(held)

    def _known(self, *operands: Operand) -> list[ast.expr]:
        """Return what says that operands are known; a literal and the clock always are."""
        return [
            is_known(self._slots.fact(operand, self._list))
            for operand in operands
            if isinstance(operand, Fact) and operand != NOW
        ]


# -- tests on known operands -----------------------------------------------------------------------


def _within(time: ast.expr, past: ast.expr, future: ast.expr) -> ast.expr:
    earliest = ast.BinOp(name(CLOCK), ast.Sub(), past, **AT)
    latest = ast.BinOp(name(CLOCK), ast.Add(), future, **AT)
    return ast.Compare(earliest, [ast.LtE(), ast.LtE()], [time, latest], **AT)


_Relate = Callable[[ast.expr, ast.expr], ast.expr]

_ON_VALUES: dict[type[Test], _Relate] = {
    Equal: lambda left, right: compare(left, ast.Eq(), right),
    In: lambda left, right: compare(left, ast.In(), right),
    HasAny: lambda left, right: negation(method(left, "isdisjoint", right)),
    HasAll: lambda left, right: compare(left, ast.GtE(), right),
}
_ON_BLOCKS: dict[type[Test], _Relate] = {
    In: lambda left, right: call(name(values.in_blocks.__name__), left, right),
    HasAny: lambda left, right: call(name(values.any_in_blocks.__name__), left, right),
    HasAll: lambda left, right: call(name(values.all_blocks_hit.__name__), left, right),
}
