"""Formulas as circuits: each becomes two, *holds* and *fails*; with neither, it is unknown.

    and: holds = all hold, fails = one fails        or: the other way round       not: exchanged
    a test: holds = all operands are known and it is so; fails = all are known and it is not so
    x is present: holds = x is known, fails = x is missing
    has some: holds = one element holds, fails = all fail, where the list is known

No law of two-valued logic is used on the formula itself.
"""

from __future__ import annotations

from collections.abc import Iterable
from ipaddress import IPv4Network, IPv6Network
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
    Rule,
    Scalar,
    StartsWith,
    SubjectIs,
    Test,
    WithinLast,
    WithinNext,
)
from policyd.language.types import NOW, TOKEN_FACTS, Fact, Type
from policyd.language.walks import walk
from policyd.program.plain_values import canonical
from policyd.prover.circuit import FALSE, TRUE
from policyd.prover.sets import Members, Set
from policyd.prover.universe import Place, Seen, Side, Universe, place_of
from policyd.prover.values import AHEAD, Block, Term


class Truths(NamedTuple):
    """When a formula is true, and when it is false."""

    holds: int
    fails: int


class Formulas:
    """Encodes formulas with the declarations of one side."""

    def __init__(self, universe: Universe, side: Side) -> None:
        self._universe = universe
        self._circuit = universe.circuit
        self._side = side
        # By identity; the formula is kept, so that no other takes its identity.
        self._known: dict[tuple[int, str | None], tuple[Formula, Truths]] = {}
        self._element: str | None = None
        self._owner: Fact = NOW

    def allowed(self, rules: Iterable[Rule], allows: int = FALSE, denies: int = FALSE) -> int:
        """Return whether some rules allow: one allow holds, and every deny fails.

        `allows` and `denies` are whether others do.
        """
        holding, failing = [allows], [-denies]
        for rule in rules:
            truths = self.of(rule.formula)
            if rule.effect == "allow":
                holding.append(truths.holds)
            else:
                failing.append(truths.fails)
        return self._circuit.all((self._circuit.any(holding), *failing))

    def of(self, formula: Formula) -> Truths:
        """Return the circuits of a formula."""
        key = (id(formula), self._element)
        found = self._known.get(key)
        if found is None:
            found = self._known[key] = (formula, self._made(formula))
        return found[1]

    def _made(self, formula: Formula) -> Truths:
        circuit = self._circuit
        match formula:
            case All(operands=operands):
                each = [self.of(one) for one in operands]
                return Truths(
                    circuit.all(one.holds for one in each), circuit.any(one.fails for one in each)
                )
            case AnyOf(operands=operands):
                each = [self.of(one) for one in operands]
                return Truths(
                    circuit.any(one.holds for one in each), circuit.all(one.fails for one in each)
                )
            case Not(operand=operand):
                inner = self.of(operand)
                return Truths(inner.fails, inner.holds)
            case NamedCondition(formula=inner_formula):
                return self.of(inner_formula)
            case HasSome():
                return self._some(formula)
            case Leaf():
                return self._test(formula)
            case _:
                assert_never(formula)

    def _some(self, formula: HasSome) -> Truths:
        universe, circuit = self._universe, self._circuit
        seen = universe.fact(self._side, formula.fact)
        claim = self._side.api.claims.get(formula.fact.name)
        is_details = claim is not None and claim.fact == formula.fact and claim.is_details
        holding, failing = [], []
        for element in universe.elements(seen.variable).elements:
            there = universe.addressed(self._side, element) if is_details else element.exists
            self._element, self._owner = element.holder, formula.fact
            inner = self.of(formula.condition)
            self._element, self._owner = None, NOW
            holding.append(circuit.all((there, inner.holds)))
            failing.append(circuit.any((-there, inner.fails)))
        return Truths(
            circuit.all((seen.known, circuit.any(holding))),
            circuit.all((seen.known, *failing)),
        )

    # -- tests -----------------------------------------------------------------------------------

    def _test(self, test: Test) -> Truths:
        universe = self._universe
        match test:
            case Always():
                return Truths(TRUE, FALSE)
            case Granted(scope=scope):
                granted = self._has(self._scopes(), scope)
                return Truths(granted, -granted)
            case SubjectIs(kind="user"):
                return Truths(universe.user, universe.application)
            case SubjectIs():
                return Truths(universe.application, universe.user)
            case Present(fact=fact):
                seen = self._fact(fact)
                return Truths(seen.known, seen.missing)
            case IsTrue(fact=fact):
                seen = self._fact(fact)
                (bit,) = universe.domains.of(Type.BOOL).word(universe.term(seen.variable))
                return self._known_and((seen,), bit)
            case Equal() | Less() | In() | HasAny() | HasAll():
                return self._relation(test)
            case StartsWith() | EndsWith() | WithinLast() | WithinNext():
                return self._on_one(test)
            case _:
                assert_never(test)

    def _on_one(self, test: StartsWith | EndsWith | WithinLast | WithinNext) -> Truths:
        universe, domains = self._universe, self._universe.domains
        seen = self._fact(test.fact)
        term = universe.term(seen.variable)
        match test:
            case StartsWith(prefix=prefix):
                truth = domains.texts.starts(term, prefix)
            case EndsWith(suffix=suffix):
                truth = domains.texts.ends(term, suffix)
            case WithinLast(seconds=seconds):
                truth = self._between(term, before=seconds, after=AHEAD)
            case WithinNext(seconds=seconds):
                truth = self._between(term, before=AHEAD, after=seconds)
            case _:
                assert_never(test)
        return self._known_and((seen,), truth)

    def _between(self, time: Term, *, before: int, after: int) -> int:
        """Return whether now - before <= time <= now + after."""
        now = self._universe.term(self._universe.token("now"))
        times = self._universe.domains.times
        return self._circuit.all((times.within(time, now, before), times.within(now, time, after)))

    def _relation(self, test: Equal | Less | In | HasAny | HasAll) -> Truths:
        seen = [self._fact(one) for one in (test.left, test.right) if isinstance(one, Fact)]
        domains = self._universe.domains
        match test:
            case Equal(left=left, right=right):
                a, b = self._term(left), self._term(right)
                truth = domains.of(a.type).equal(a, b)
            case Less(left=left, right=right, or_equal=or_equal):
                a, b = self._term(left), self._term(right)
                truth = domains.numbers(a.type).less(a, b, or_equal=or_equal)
            case In(left=left, right=right):
                truth = self._in(left, right)
            case HasAny(left=left, right=right):
                truth = self._any(left, right)
            case HasAll(left=left, right=right):
                truth = self._all(left, right)
            case _:
                assert_never(test)
        return self._known_and(seen, truth)

    def _known_and(self, seen: Iterable[Seen], truth: int) -> Truths:
        known = [one.known for one in seen]
        return Truths(self._circuit.all((*known, truth)), self._circuit.all((*known, -truth)))

    # -- operands --------------------------------------------------------------------------------

    def _fact(self, fact: Fact) -> Seen:
        return self._universe.fact(self._side, fact, self._element, self._owner)

    def _term(self, operand: Operand) -> Term:
        if isinstance(operand, Fact):
            return self._universe.term(self._fact(operand).variable)
        assert not isinstance(operand.value, tuple)
        return self._constant(operand.type, operand.value)

    def _constant(self, type_: Type, value: Scalar) -> Term:
        return self._universe.domains.of(type_).constant(canonical(value))

    def _set(self, fact: Fact) -> Set:
        return self._universe.set_of(self._side, self._fact(fact))

    def _scopes(self) -> Set:
        return self._set(TOKEN_FACTS["scopes"])

    def _members(self, operand: Operand) -> Members:
        if isinstance(operand, Fact):
            return self._set(operand)
        element = operand.type.element
        assert element is not None
        return tuple(self._constant(element, one) for one in _entries(operand))

    # -- sets ------------------------------------------------------------------------------------

    def _has(self, members: Members, entry: Scalar, element: Type = Type.STRING) -> int:
        """Return whether a set has an entry: a value, or, of a block, some address in it."""
        sets = self._universe.sets[_SET_OF[element]]
        entry = canonical(entry)
        if isinstance(entry, IPv4Network | IPv6Network):
            return sets.has_block(members, entry)
        return sets.has(members, self._constant(element, entry))

    def _in(self, left: Operand, right: Operand) -> int:
        term = self._term(left)
        if isinstance(right, Fact):
            return self._universe.sets[right.type].has(self._set(right), term)
        return self._circuit.any(self._matches(term, one) for one in _entries(right))

    def _matches(self, term: Term, entry: Scalar) -> int:
        entry = canonical(entry)
        if isinstance(entry, Block):
            return self._universe.domains.addresses.in_block(term, entry)
        return self._universe.domains.of(term.type).equal(term, self._constant(term.type, entry))

    def _any(self, left: Operand, right: Operand) -> int:
        if isinstance(right, Literal):
            return self._circuit.any(self._each_had(left, right))
        if isinstance(left, Literal):
            return self._circuit.any(self._each_had(right, left))
        return self._universe.sets[right.type].any(self._set(left), self._set(right))

    def _all(self, left: Operand, right: Operand) -> int:
        if isinstance(right, Literal):
            return self._circuit.all(self._each_had(left, right))
        return self._universe.sets[right.type].all(self._members(left), self._set(right))

    def _each_had(self, left: Operand, right: Literal) -> Iterable[int]:
        element = right.type.element
        assert element is not None
        members = self._members(left)
        return (self._has(members, entry, element) for entry in _entries(right))


_SET_OF = {type_.element: type_ for type_ in Type if type_.element is not None}


def _entries(literal: Literal) -> tuple[Scalar, ...]:
    assert isinstance(literal.value, tuple), "the checker lets only sets stand here"
    return literal.value


def quantified(side: Side, formulas: Iterable[Formula]) -> dict[Place, int]:
    """Return how many quantifiers some formulas have over each list."""
    found: dict[Place, int] = {}
    seen: set[int] = set()
    for formula in formulas:
        for one in walk(formula):
            if isinstance(one, HasSome) and id(one) not in seen:
                seen.add(id(one))
                place = place_of(side, one.fact)
                found[place] = found.get(place, 0) + 1
    return found
