"""Numbers for formulas, independent of names and positions: equal numbers mean equal circuits.

A formula's number stands for its operators, its operands in any order, its literals, and the places
from which the side reads its facts. So numbers of two revisions can be compared.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Iterator
from typing import Final, NamedTuple, assert_never

import msgspec

from policyd.language.policy import (
    All,
    AnyOf,
    Formula,
    Granted,
    HasSome,
    Leaf,
    NamedCondition,
    Not,
    Present,
)
from policyd.language.types import TOKEN_FACTS, Fact, Origin
from policyd.language.walks import own_facts
from policyd.prover.universe import Side, issuer_of, place_of

_SCOPES: Final = TOKEN_FACTS["scopes"]

#: The numbers of structures, shared by several sides.
Numbers = dict[Hashable, int]


class Conjunct(NamedTuple):
    """A part of a formula that is true, or false, wherever the formula is true."""

    formula: Formula
    holds: bool


class Structures:
    """The structures of formulas, as one side reads them."""

    def __init__(self, side: Side, numbers: Numbers) -> None:
        self._side = side
        self._numbers = numbers
        # By identity; the formula is kept alive, so that no other gets its identity.
        self._known: dict[int, tuple[Formula, int]] = {}
        self._readings: dict[Fact, int] = {}

    def of(self, formula: Formula) -> int:
        """Return the number of a formula."""
        found = self._known.get(id(formula))
        if found is None:
            found = self._known[id(formula)] = (formula, self._number(self._structure(formula)))
        return found[1]

    def _number(self, structure: Hashable) -> int:
        return self._numbers.setdefault(structure, len(self._numbers))

    def _structure(self, formula: Formula) -> Hashable:
        match formula:
            case All(operands=operands) | AnyOf(operands=operands):
                return (type(formula), *sorted({self.of(one) for one in operands}))
            case Not(operand=operand):
                return (Not, self.of(operand))
            case NamedCondition(formula=inner):
                return (NamedCondition, self.of(inner))
            case HasSome(fact=fact, condition=condition):
                return (HasSome, self._reading(fact), self.of(condition))
            case Granted(scope=scope):
                return (Granted, scope, self._reading(_SCOPES))
            case Leaf():
                _, *parts = msgspec.structs.astuple(formula)  # without the span
                return (
                    type(formula),
                    *[self._reading(one) if isinstance(one, Fact) else one for one in parts],
                )
            case _:
                assert_never(formula)

    def _reading(self, fact: Fact) -> int:
        found = self._readings.get(fact)
        if found is None:
            found = self._readings[fact] = self._number((fact, *self._read(fact)))
        return found

    def _read(self, fact: Fact) -> Iterator[Hashable]:
        """Yield everything that a side declares about a fact."""
        side = self._side
        if fact.origin is Origin.ITEM:
            return  # the list that contains it determines the rest
        yield place_of(side, fact)
        yield issuer_of(side, fact)
        if fact.record:
            yield side.api.audiences
        if fact == _SCOPES:
            yield frozenset(side.api.inclusion.granted.items())


def conjuncts(formula: Formula) -> Iterator[Conjunct]:
    """Yield the parts of a formula that are all true, or false, exactly where it is true."""
    stack = [Conjunct(formula, holds=True)]
    while stack:
        one, holds = stack.pop()
        match one:
            case Not(operand=operand):
                stack.append(Conjunct(operand, not holds))
            case NamedCondition(formula=inner):
                stack.append(Conjunct(inner, holds))
            case All(operands=operands) if holds:
                stack += (Conjunct(each, holds=True) for each in reversed(operands))
            case AnyOf(operands=operands) if not holds:
                stack += (Conjunct(each, holds=False) for each in reversed(operands))
            case All() | AnyOf() | HasSome() | Leaf():
                yield Conjunct(one, holds)
            case _:
                assert_never(one)


def presence(parts: Iterable[Conjunct]) -> Iterator[Conjunct]:
    """Yield the presence of the facts of tests, which are unknown otherwise."""
    for part in parts:
        if isinstance(part.formula, HasSome | Leaf) and not isinstance(part.formula, Present):
            for fact in own_facts(part.formula):
                yield Conjunct(Present(part.formula.span, fact), holds=True)
