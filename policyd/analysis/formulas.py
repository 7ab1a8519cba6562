"""Analysis of formulas without a solver: their parts, possible values, and equivalence.

All of it is sound in Kleene's three-valued logic. The parts of a formula are assumed to be
independent of each other, so `possible` may contain a value that the formula never takes, but
contains every value that it takes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from typing import assert_never

import msgspec

from policyd.diagnostics import Label, Source
from policyd.language import policy, walks
from policyd.language.policy import Formula, Truth
from policyd.language.types import Fact

Truths = frozenset[Truth]

TRUE: Truths = frozenset({True})
FALSE: Truths = frozenset({False})
UNKNOWN: Truths = frozenset({None})
NEVER: Truths = frozenset({False, None})
EITHER: Truths = frozenset({True, False})


class Part(msgspec.Struct, frozen=True):
    """A part of a rule's formula, and the file that it is written in.

    `positive`: it stands under an even number of negations.
    """

    formula: Formula
    source: Source
    positive: bool

    @property
    def label(self) -> Label:
        return Label(self.source, self.formula.span)

    def inner(self) -> tuple[Part, ...]:
        """The parts of this part, the last first."""
        match self.formula:
            case policy.All(operands=operands) | policy.AnyOf(operands=operands):
                return tuple(Part(one, self.source, self.positive) for one in reversed(operands))
            case policy.Not(operand=operand):
                return (Part(operand, self.source, not self.positive),)
            case policy.NamedCondition(formula=inner, source=source):
                return (Part(inner, source, self.positive),)
            case policy.HasSome(condition=inner):
                return (Part(inner, self.source, self.positive),)
            case policy.Leaf():
                return ()
            case _:
                assert_never(self.formula)


def parts(rule: policy.Rule) -> Iterator[Part]:
    """All parts from the outside in; what is shared comes once, or once a sign."""
    seen: set[tuple[int, bool]] = set()
    stack = [Part(rule.formula, rule.source, positive=True)]
    while stack:
        part = stack.pop()
        key = (id(part.formula), part.positive)
        if key in seen:
            continue
        seen.add(key)
        yield part
        stack.extend(part.inner())


def operands(formula: Formula) -> tuple[policy.Operand, ...]:
    """The operands of a test, in order; none for what is no test."""
    return walks.operands(formula) if isinstance(formula, policy.Leaf) else ()


def literals(formula: Formula) -> Iterator[tuple[Fact, policy.Scalar]]:
    """Each literal that a test looks for, with the fact that it looks in. Affixes are none."""
    if isinstance(formula, policy.Less):
        return
    for fact in walks.own_facts(formula):
        for operand in operands(formula):
            if isinstance(operand, policy.Literal):
                values = operand.value if isinstance(operand.value, tuple) else (operand.value,)
                for value in values:
                    yield fact, value


def is_unequal(formula: Formula) -> bool:
    """Tell whether this is `!=`, which is written as one operator and not as a negation."""
    return isinstance(formula, policy.Not) and (
        isinstance(formula.operand, policy.Equal) and formula.operand.span == formula.span
    )


# -- what a formula may be ---------------------------------------------------------------------


def possible(formula: Formula, given: Callable[[Part], Truths | None], source: Source) -> Truths:
    """The values that a formula may take.

    `given` says what a part may be; where it says `None`, the part's own parts decide, and a test
    is true or false.
    """
    return Possible(given).of(Part(formula, source, positive=True))


class Possible:
    """The values that parts may take, each looked at once. `given` is as of `possible`."""

    def __init__(self, given: Callable[[Part], Truths | None]) -> None:
        self._given = given
        self._known: dict[tuple[int, bool], Truths] = {}

    def of(self, part: Part) -> Truths:
        """Return the values that a part may take."""
        key = (id(part.formula), part.positive)
        if key not in self._known:
            given = self._given(part)
            self._known[key] = self._inner(part) if given is None else given
        return self._known[key]

    def _inner(self, part: Part) -> Truths:
        source, positive = part.source, part.positive
        match part.formula:
            case policy.All(operands=operands):
                return self._joined(operands, part, _and, FALSE)
            case policy.AnyOf(operands=operands):
                return self._joined(operands, part, _or, TRUE)
            case policy.Not(operand=operand):
                inner = self.of(Part(operand, source, not positive))
                return frozenset(None if one is None else not one for one in inner)
            case policy.NamedCondition(formula=formula, source=own):
                return self.of(Part(formula, own, positive))
            case policy.HasSome(condition=condition):  # of no element it is false
                return FALSE | self.of(Part(condition, source, positive))
            case policy.Always():
                return TRUE
            case policy.Leaf():
                return EITHER
            case _:
                assert_never(part.formula)

    def _joined(
        self, operands: Iterable[Formula], part: Part, join: _Join, settled: Truths
    ) -> Truths:
        """Join operands one after the other, until the rest can change nothing."""
        found: Truths | None = None
        for one in operands:
            value = self.of(Part(one, part.source, part.positive))
            found = value if found is None else _both(found, value, join)
            if found == settled:
                break
        assert found is not None, "a conjunction and a disjunction have operands"
        return found


_Join = Callable[[Truth, Truth], Truth]


def disjunction(one: Truths, other: Truths) -> Truths:
    """Return what `or` may come to where its operands may come to these."""
    return _both(one, other, _or)


def _both(one: Truths, other: Truths, join: _Join) -> Truths:
    return frozenset([join(a, b) for a in one for b in other])


def _and(a: Truth, b: Truth) -> Truth:
    if a is False or b is False:
        return False
    return None if a is None or b is None else True


def _or(a: Truth, b: Truth) -> Truth:
    if a is True or b is True:
        return True
    return None if a is None or b is None else False


def conjuncts(formula: Formula) -> tuple[Formula, ...]:
    """The formulas whose conjunction this is, named conditions opened; none for `when true`."""
    parts = walks.walk(formula, lambda one: isinstance(one, _JOINING))
    return tuple(one for one in parts if not isinstance(one, (*_JOINING, policy.Always)))


#: What stands for the conjunction of its parts.
_JOINING = (policy.All, policy.NamedCondition)


# -- when two formulas are one -----------------------------------------------------------------


class Keys:
    """Gives formulas numbers: equal numbers mean equal formulas, whatever their spans and order."""

    def __init__(self) -> None:
        self._numbers: dict[object, int] = {}
        # By identity; the formula is kept beside its number, so that no other takes its identity.
        self._known: dict[int, tuple[Formula, int]] = {}

    def of(self, formula: Formula) -> int:
        known = self._known.get(id(formula))
        if known is not None:
            return known[1]
        shape = self._shape(formula)
        number = shape if isinstance(shape, int) else self._number(shape)
        self._known[id(formula)] = (formula, number)
        return number

    def conjuncts(self, formula: Formula) -> frozenset[int]:
        """The numbers of the formulas whose conjunction this is."""
        return frozenset(self.of(one) for one in conjuncts(formula))

    def _number(self, shape: object) -> int:
        return self._numbers.setdefault(shape, len(self._numbers))

    def _shape(self, formula: Formula) -> object:
        match formula:
            case policy.All():
                every = self.conjuncts(formula)
                return next(iter(every)) if len(every) == 1 else ("all", every)
            case policy.AnyOf(operands=operands):
                some = frozenset(self.of(one) for one in operands)
                return next(iter(some)) if len(some) == 1 else ("any", some)
            case policy.Not(operand=operand):
                return ("not", self.of(operand))
            case policy.NamedCondition(formula=inner):
                return self.of(inner)
            case policy.HasSome(fact=fact, condition=condition):
                return ("some", _operand_key(fact), self.of(condition))
            case policy.Equal(left=left, right=right):
                return ("Equal", frozenset({_operand_key(left), _operand_key(right)}))
            case policy.Leaf():
                return (type(formula).__name__, *_own_key(formula))
            case _:
                assert_never(formula)


def _own_key(test: policy.Test) -> Iterator[object]:
    """What a test says, field by field, its place aside."""
    for name in test.__struct_fields__:
        value = getattr(test, name)
        if name != "span":
            yield _operand_key(value) if isinstance(value, Fact | policy.Literal) else value


def _operand_key(operand: policy.Operand) -> tuple[object, ...]:
    if isinstance(operand, Fact):
        return (operand.origin, operand.name)
    value = operand.value
    return (operand.type, frozenset(value) if isinstance(value, tuple) else value)
