"""A formula split into its shape and its constants.

Formulas have the same shape if they differ only in constants, such as a hundred rules for a hundred
tenants. The code of a shape is generated once; the constants are its data.

A shape is a flat tuple that can be a key: the connectives with the number of their operands, and
the tests with the locals that they read, from the outside in. A constant is the value that a
literal, a scope, a text or a number of seconds stands for; blocks of addresses are ranges.
"""

from __future__ import annotations

import sys
from collections.abc import Hashable
from typing import NamedTuple, assert_never

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
    Literal,
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
from policyd.language.types import Fact, Origin, Type
from policyd.program import values
from policyd.program.layout import FieldLayout, TokenLayout

Constant = values.Value | values.Blocks
Shape = tuple[object, ...]

#: Arguments of a generated function.
TOKEN, RESOURCE, CONTEXT, CLOCK = "token", "resource", "context", "now"
#: The element of a list that is looked at.
ITEM = "item"


class Locals(NamedTuple):
    """What generated code calls a fact: its argument and slot, `token_3`. The clock is `now`."""

    token: TokenLayout
    resource: FieldLayout
    context: FieldLayout

    def fact(self, fact: Fact, of: Fact | None = None) -> str:
        """Return the name of a fact; `of` is the list to whose elements a field belongs."""
        match fact.origin:
            case Origin.ITEM:
                assert of is not None, "a field is one of a list's elements"
                return f"{ITEM}_{of.field_number(fact)}"
            case Origin.CLOCK:
                return CLOCK
            case Origin.RESOURCE:
                return f"{RESOURCE}_{self.resource.slots[fact]}"
            case Origin.CONTEXT:
                return f"{CONTEXT}_{self.context.slots[fact]}"
            case Origin.TOKEN | Origin.CLAIM | Origin.USERINFO:
                return f"{TOKEN}_{self.token.slots[fact]}"

    @property
    def key(self) -> Hashable:
        """What all names are: equal where they are the same."""
        slots = (self.token.slots, self.token.presence, self.resource.slots, self.context.slots)
        return tuple(frozenset(each.items()) for each in slots)

    def presence(self, fact: Fact, of: Fact | None = None) -> str | None:
        """Return the local that says whether a fact is present, if it has one."""
        if of is not None and fact.origin is Origin.ITEM:
            return f"{ITEM}_{len(of.record) + of.field_number(fact)}"
        slot = self.token.presence.get(fact)
        return None if slot is None else f"{TOKEN}_{slot}"


class Abstract(NamedTuple):
    """A formula without its constants. `places` tells, by the identity of a test, where in
    `constants` those of the test begin; a test that stands in several places counts once."""

    formula: Formula
    shape: Shape
    constants: tuple[Constant, ...]
    places: dict[int, int]


class Abstraction:
    """Takes the constants out of the formulas of one generated function.

    Named conditions are numbered as they are met; `conditions` abstracts them in their turn.
    """

    def __init__(self, names: Locals) -> None:
        self._names = names
        self._numbers: dict[int, int] = {}
        self._conditions: list[NamedCondition] = []

    def number(self, condition: NamedCondition) -> int:
        """Return the number of a named condition."""
        number = self._numbers.setdefault(id(condition), len(self._conditions))
        if number == len(self._conditions):
            self._conditions.append(condition)
        return number

    def conditions(self) -> list[Abstract]:
        """Return all named conditions that were met, and those that they use, by number."""
        found: list[Abstract] = []
        # More are met on the way.
        for condition in self._conditions:
            found.append(self.abstract(condition.formula))
        return found

    def abstract(self, formula: Formula) -> Abstract:
        shape: list[object] = []
        constants: list[Constant] = []
        places: dict[int, int] = {}
        self._walk(formula, None, shape, constants, places)
        return Abstract(formula, tuple(shape), tuple(constants), places)

    def _walk(
        self,
        formula: Formula,
        of: Fact | None,
        shape: list[object],
        constants: list[Constant],
        places: dict[int, int],
    ) -> None:
        """Walk a formula; `of` is the list around it."""
        todo = [formula]
        while todo:
            one = todo.pop()
            match one:
                case HasSome(fact=fact, condition=inner):
                    shape += (HasSome, self._names.fact(fact))
                    self._walk(inner, fact, shape, constants, places)
                case All(operands=operands) | AnyOf(operands=operands):
                    shape += (type(one), len(operands))
                    todo.extend(reversed(operands))
                case Not(operand=operand):
                    shape.append(Not)
                    todo.append(operand)
                case NamedCondition():
                    shape += (NamedCondition, self.number(one))
                case Leaf():
                    read, held = self._test(one, of)
                    place = places.setdefault(id(one), len(constants))
                    if place == len(constants):
                        constants += held
                    shape += (type(one), place, *read)
                case _:
                    assert_never(one)

    def _test(self, test: Test, of: Fact | None) -> tuple[Shape, tuple[Constant, ...]]:
        """Return what of a test its code depends on, its kind aside, and its constants."""
        match test:
            case Always():
                return (), ()
            case Granted(scope=text) | SubjectIs(kind=text):
                return (), (sys.intern(text),)
            case Present(fact=fact):
                return (self._names.fact(fact, of), self._names.presence(fact, of)), ()
            case IsTrue(fact=fact):
                return (self._names.fact(fact, of),), ()
            case StartsWith(fact=fact, prefix=text) | EndsWith(fact=fact, suffix=text):
                return (self._names.fact(fact, of),), (text,)
            case WithinLast(fact=fact, seconds=seconds) | WithinNext(fact=fact, seconds=seconds):
                return (self._names.fact(fact, of),), (seconds,)
            case Less(left=left, right=right, or_equal=or_equal):
                return (or_equal, *self._read(of, left, right)), _held(left, right)
            case Equal(left=left, right=right):
                return self._read(of, left, right), _held(left, right)
            case In(left=left, right=right) | HasAny(left=left, right=right):
                if holds_blocks(right):
                    blocks = values.merged(_blocks(right))
                    return (*self._read(of, left, right), "blocks"), (*_held(left), blocks)
                return self._read(of, left, right), _held(left, right)
            case HasAll(left=left, right=right):
                if holds_blocks(right):
                    return (*self._read(of, left, right), "blocks"), (*_held(left), _blocks(right))
                return self._read(of, left, right), _held(left, right)
            case _:
                assert_never(test)

    def _read(self, of: Fact | None, *operands: Operand) -> Shape:
        """Return the locals of operands, `None` for a literal."""
        return tuple(
            self._names.fact(operand, of) if isinstance(operand, Fact) else None
            for operand in operands
        )


def _held(*operands: Operand) -> tuple[Constant, ...]:
    return tuple(value_of(operand) for operand in operands if isinstance(operand, Literal))


def value_of(literal: Literal) -> values.Value:
    """Return what a literal, blocks of addresses excepted, stands for."""
    value = literal.value
    if isinstance(value, tuple):
        return frozenset(map(values.of_literal, value))  # type: ignore[return-value]  # one type
    return values.of_literal(value)


def holds_blocks(operand: Operand) -> bool:
    """Tell whether an operand is a literal list of addresses, which may hold blocks."""
    return isinstance(operand, Literal) and operand.type is Type.SET_OF_IP


def _blocks(operand: Operand) -> values.Blocks:
    assert isinstance(operand, Literal) and isinstance(operand.value, tuple), "see holds_blocks"
    return tuple(values.block(item) for item in operand.value)
