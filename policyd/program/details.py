"""What an authorization detail (RFC 9396) would have to hold for the rules to be content with it.

Input are the formulas of a plan; output are templates of details, one for each way in which a `has
some` over them can come true. A template says of some fields what they are to hold: a literal, or
the value of another fact. It is a guess: whether a detail helps, the rules say when they are asked
again with it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, product
from typing import Final, NamedTuple, assert_never
from typing import Literal as OneOf

import msgspec

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
    StartsWith,
    SubjectIs,
    Test,
    WithinLast,
    WithinNext,
)
from policyd.language.types import NOW, Fact, Origin
from policyd.language.walks import walk
from policyd.program.shape import holds_blocks, value_of
from policyd.program.values import Element, Value

#: How many ways of one plan are looked at.
_MOST: Final = 64


class Held(NamedTuple):
    """What a field is to hold: a value itself, or a set with it (`member`), or one of a
    set (`one`), or a set with one or all of those of a set (`some`, `all`). `source` is a value, or
    the fact that has it; `plus` is added."""

    field: int
    how: OneOf["value", "member", "one", "some", "all"]
    source: Value | Fact
    plus: int = 0


Template = tuple[Held, ...]


class Details(msgspec.Struct, frozen=True, eq=False):
    """Where the list of details, and whether it is present, stands in the token's slots; how many
    fields a detail has; the templates of those that could help; and the issuer whose tokens alone
    may have details, if there is one."""

    slot: int
    presence: int
    fields: int
    templates: tuple[Template, ...]
    issuer: str | None = None


def templates(rules: Iterable[Rule], details: Fact) -> tuple[Template, ...]:
    """Return the templates of some rules, each once, in the order of the rules."""
    found: dict[Template, None] = {}
    for rule in rules:
        for formula in walk(rule.formula):
            if isinstance(formula, HasSome) and formula.fact == details:
                for ways in islice(_ways(formula.condition, True), _MOST):
                    found[tuple(one for test in ways for one in _held(test, details))] = None
    return tuple(islice(found, _MOST))


#: A test, and whether it is to be true.
_Wanted = tuple[Test, bool]


def _ways(formula: Formula, truth: bool) -> Iterator[tuple[_Wanted, ...]]:
    """Yield the ways in which a formula can come to a truth value, as tests that do."""
    match formula:
        case Not(operand=operand):
            yield from _ways(operand, not truth)
        case NamedCondition():  # reads no element
            yield ()
        case All(operands=operands) | AnyOf(operands=operands):
            if isinstance(formula, All) is truth:
                for parts in product(*(list(islice(_ways(one, truth), 8)) for one in operands)):
                    yield tuple(test for part in parts for test in part)
            else:
                for operand in operands:
                    yield from _ways(operand, truth)
        case HasSome():
            yield ()
        case Leaf():
            yield ((formula, truth),)
        case _:
            assert_never(formula)


def _held(wanted: _Wanted, details: Fact) -> Iterator[Held]:
    """Yield what fields are to hold for a test to come true, or false where that is wanted."""
    test, truth = wanted

    def number(operand: Operand) -> int | None:
        is_field = isinstance(operand, Fact) and operand.origin is Origin.ITEM
        return details.field_number(operand) if is_field and isinstance(operand, Fact) else None

    match test:
        case IsTrue(fact=fact):
            if (field := number(fact)) is not None:
                yield Held(field, "value", truth)
        case Equal(left=left, right=right) if truth:
            for mine, other in ((left, right), (right, left)):
                if (field := number(mine)) is not None and number(other) is None:
                    yield Held(field, "value", _source(other))
        case In(left=left, right=right) if truth and not holds_blocks(right):
            if (field := number(left)) is not None:
                yield Held(field, "one", _source(right))
            elif (field := number(right)) is not None:
                yield Held(field, "member", _source(left))
        case HasAny(left=left, right=right) if truth and not holds_blocks(right):
            for mine, other in ((left, right), (right, left)):
                if (field := number(mine)) is not None:
                    yield Held(field, "some", _source(other))
        case HasAll(left=left, right=right) if truth and not holds_blocks(right):
            if (field := number(left)) is not None:
                yield Held(field, "all", _source(right))
        case Less(left=left, right=right, or_equal=or_equal):
            small, large = (left, right) if truth else (right, left)
            step = 0 if or_equal is truth else 1
            if (field := number(large)) is not None and number(small) is None:
                yield Held(field, "value", _source(small), step)
            elif (field := number(small)) is not None and number(large) is None:
                yield Held(field, "value", _source(large), -step)
        case StartsWith(fact=fact, prefix=text) | EndsWith(fact=fact, suffix=text) if truth:
            if (field := number(fact)) is not None:
                yield Held(field, "value", text)
        case WithinLast(fact=fact) if truth:
            if (field := number(fact)) is not None:
                yield Held(field, "value", NOW)
        case Equal() | In() | HasAny() | HasAll() | StartsWith() | EndsWith():
            pass  # false for many values: none of them is to be preferred
        case WithinLast() | WithinNext():
            pass  # nor of those outside of a span of time, or ahead
        case Always() | Granted() | SubjectIs() | Present():
            pass  # says nothing of the value of a field
        case _:
            assert_never(test)


def _source(operand: Operand) -> Value | Fact:
    return value_of(operand) if isinstance(operand, Literal) else operand


def detail(
    template: Template, fields: int, value_of_fact: Callable[[Fact], Value | None]
) -> Element | None:
    """Return the detail of a template, `None` where a fact that it is to hold is unknown."""
    values: list[object] = [None] * fields
    for held in template:
        source = held.source
        value = value_of_fact(source) if isinstance(source, Fact) else source
        if value is None:
            return None
        before = values[held.field]
        kept = before if isinstance(before, frozenset) else frozenset()
        match held.how:
            case "member":
                values[held.field] = kept | {value}
            case "all":
                values[held.field] = kept | value if isinstance(value, frozenset) else None
            case "one" | "some":
                if not isinstance(value, frozenset) or not value:
                    return None
                first = min(value)
                values[held.field] = first if held.how == "one" else kept | {first}
            case "value":
                values[held.field] = value + held.plus if type(value) is int else value
    return (*values, *(value is not None for value in values))
