"""What is left of rules when some facts of a question are known and the others are open.

Input: a question in which the open facts have no value. Output: of a rule, whether it applies
whatever the open facts are, or a formula about these alone, in which literals stand for what is
known.

A test on known facts alone is true, false or unknown. What is unknown stays so, whatever the open
facts turn out to be, and so it never helps an `allow` to hold, nor a `deny` to fail. So it is
replaced by the truth value that does not help either, and no third value is left. Nothing is
simplified but these constants, by Kleene's tables: `false and x` is false, `true and x` is x. A
test on the clock becomes one on times.

Invariant: an `allow` is true of its residual exactly when it is of the rule, and a `deny` false.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable
from decimal import Decimal
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network
from typing import Final, assert_never

from policyd.diagnostics import Span
from policyd.language import walks
from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    Api,
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
    Truth,
    WithinLast,
    WithinNext,
)
from policyd.language.types import NOW, Fact, Origin, Type
from policyd.program.interpreter import Asked, World
from policyd.program.plain_values import Value

#: What is left of a formula: its truth value, or a formula about what is open.
Residual = bool | Formula

#: How far ahead a clock of others may be, in seconds (`within last`, `within next`).
_AHEAD: Final = 60
_FIRST, _LAST = -62_135_596_800, 253_402_300_799
_NOWHERE: Final = Span(0, 0)


class Residuals:
    """The residuals of the rules for one action on one resource.

    `opened` are the open facts; the world has no values for them. `spend` is told how many parts
    are looked at. It may raise.
    """

    def __init__(
        self,
        api: Api,
        resource: str,
        world: World,
        opened: Collection[Fact],
        spend: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._asked = Asked(api, world, resource)
        self._now = world.now
        self._open = opened
        self._spend = spend
        self._known: dict[tuple[int, bool], tuple[Formula, Residual]] = {}
        #: Whether an open fact is compared with the clock: a moment later, something else is left.
        self.read_clock = False
        self._any_element = False  # whether fields are those of any element of an open list

    def of(self, rule: Rule) -> Residual:
        """Return what is left of a rule."""
        return self._of(rule.formula, unknown=rule.effect == "deny")

    def _of(self, formula: Formula, *, unknown: bool) -> Residual:
        """Return what is left of a formula; what is unknown becomes `unknown`.

        Named conditions build on each other in long chains: the inner ones come first.
        """
        stack = [(formula, unknown, False)]
        while stack:
            one, its, ready = stack.pop()
            if (id(one), its) in self._known:
                continue
            if not ready:
                stack.append((one, its, True))
                stack.extend((inner, sign, False) for inner, sign in _named(one, its))
                continue
            self._known[id(one), its] = (one, self._made(_whole(one), its))
        return self._known[id(formula), unknown][1]

    def _made(self, formula: Formula, unknown: bool) -> Residual:
        self._spend(1)
        match formula:
            case All(operands=operands):
                return _all((self._made(one, unknown) for one in operands), formula.span)
            case AnyOf(operands=operands):
                return _any((self._made(one, unknown) for one in operands), formula.span)
            case Not(operand=operand):
                inner = self._made(operand, not unknown)
                return _not(inner, formula.span)
            case NamedCondition():
                found = self._known.get((id(formula), unknown))
                return self._of(formula, unknown=unknown) if found is None else found[1]
            case HasSome():
                return self._some(formula, unknown)
            case Leaf():
                return self._test(formula, unknown)
            case _:
                assert_never(formula)

    def _some(self, formula: HasSome, unknown: bool) -> Residual:
        if formula.fact in self._open:
            self._any_element = True
            condition = self._made(formula.condition, unknown)
            self._any_element = False
            if isinstance(condition, bool):
                always = Always(formula.condition.span)
                condition = always if condition else Not(always.span, always)
            return HasSome(formula.span, formula.fact, condition)
        elements = self._asked.each_element(formula.fact)
        if elements is None:
            return unknown
        return _any([self._made(formula.condition, unknown) for _ in elements], formula.span)

    # -- tests -----------------------------------------------------------------------------------

    def _test(self, test: Test, unknown: bool) -> Residual:
        match test:
            case Always() | Granted() | SubjectIs():
                return _constant(self._asked.truth(test), unknown)
            case Present(fact=fact):
                return test if self._is_open(fact) else _constant(self._asked.truth(test), unknown)
            case IsTrue() | StartsWith() | EndsWith():
                if self._is_open(test.fact):
                    return test
                return _constant(self._asked.truth(test), unknown)
            case WithinLast(fact=fact, seconds=seconds):
                return self._within(test, fact, seconds, _AHEAD, unknown)
            case WithinNext(fact=fact, seconds=seconds):
                return self._within(test, fact, _AHEAD, seconds, unknown)
            case Equal() | Less() | In() | HasAny() | HasAll():
                return self._relation(test, unknown)
            case _:
                assert_never(test)

    def _within(self, test: Test, fact: Fact, before: int, after: int, unknown: bool) -> Residual:
        if not self._is_open(fact):
            return _constant(self._asked.truth(test), unknown)
        self.read_clock = True
        first = Literal(Type.TIME, max(self._now - before, _FIRST))
        last = Literal(Type.TIME, min(self._now + after, _LAST))
        ends = (
            Less(test.span, first, fact, or_equal=True),
            Less(test.span, fact, last, or_equal=True),
        )
        return All(test.span, ends)

    def _relation(self, test: Equal | Less | In | HasAny | HasAll, unknown: bool) -> Residual:
        operands = walks.operands(test)
        if not any(isinstance(one, Fact) and self._is_open(one) for one in operands):
            return _constant(self._asked.truth(test), unknown)
        if all(isinstance(one, Literal) or self._is_open(one) for one in operands):
            return test
        self.read_clock |= NOW in operands
        left, right = (self._operand(one) for one in operands)
        if left is None or right is None:
            return unknown
        match test:
            case Less(or_equal=or_equal):
                return Less(test.span, left, right, or_equal)
            case Equal() | In() | HasAny() | HasAll():
                return type(test)(test.span, left, right)
            case _:
                assert_never(test)

    def _operand(self, operand: Operand) -> Operand | None:
        """Return an operand with its value where it is known; `None` where it has none."""
        if isinstance(operand, Literal) or self._is_open(operand):
            return operand
        value = self._asked.value(operand)
        return None if value is None else literal(operand.type, value)

    def _is_open(self, operand: Operand) -> bool:
        """Tell whether an operand is an open fact, or a field of an element of an open list."""
        if not isinstance(operand, Fact):
            return False
        if operand.origin is Origin.ITEM:
            return self._any_element
        return operand in self._open


def literal(type_: Type, value: Value) -> Literal:
    """Return a value as a literal of a policy."""
    if isinstance(value, frozenset):
        return Literal(type_, tuple(sorted(value, key=_order)))
    return Literal(type_, value)


def _order(value: Scalar) -> tuple[str, int | Decimal, str]:
    match value:
        case str():
            return ("", 0, value)
        case bool() | int() | Decimal():
            return ("", value, "")
        case IPv4Address() | IPv6Address() | IPv4Network() | IPv6Network():
            return (type(value).__name__, 0, str(value))
        case _:
            assert_never(value)


def _constant(truth: Truth, unknown: bool) -> bool:
    return unknown if truth is None else truth


def _whole(formula: Formula) -> Formula:
    return formula.formula if isinstance(formula, NamedCondition) else formula


def _named(formula: Formula, unknown: bool) -> Iterable[tuple[Formula, bool]]:
    """Yield the named conditions in a formula's own text, each with what unknown becomes there."""
    todo = [(_whole(formula), unknown)]
    while todo:
        one, sign = todo.pop()
        match one:
            case All(operands=operands) | AnyOf(operands=operands):
                todo.extend((inner, sign) for inner in operands)
            case Not(operand=operand):
                todo.append((operand, not sign))
            case HasSome(condition=condition):
                todo.append((condition, sign))
            case NamedCondition():
                yield one, sign
            case Leaf():
                pass
            case _:
                assert_never(one)


def conjunction(parts: Iterable[Residual]) -> Residual:
    """Return what is left of an `and`."""
    return _all(parts, _NOWHERE)


def disjunction(parts: Iterable[Residual]) -> Residual:
    """Return what is left of an `or`."""
    return _any(parts, _NOWHERE)


def negation(part: Residual) -> Residual:
    """Return what is left of a `not`."""
    return _not(part, _NOWHERE)


def _not(part: Residual, span: Span) -> Residual:
    if isinstance(part, bool):
        return not part
    return part.operand if isinstance(part, Not) else Not(span, part)


def _all(parts: Iterable[Residual], span: Span) -> Residual:
    left: list[Formula] = []
    for part in parts:
        if part is False:
            return False
        if part is not True:
            left += part.operands if isinstance(part, All) else (part,)
    if len(left) < 2:
        return left[0] if left else True
    return All(span, tuple(left))


def _any(parts: Iterable[Residual], span: Span) -> Residual:
    left: list[Formula] = []
    for part in parts:
        if part is True:
            return True
        if part is not False:
            left += part.operands if isinstance(part, AnyOf) else (part,)
    if len(left) < 2:
        return left[0] if left else False
    return AnyOf(span, tuple(left))
