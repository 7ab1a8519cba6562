"""Tests of conditions as text, from what they mean: a test that holds, or one that fails.

Input: a checked test and whether it is to hold. Output: text in the language of policies. It is
written anew and not cited, since literals may stand where a policy has a fact, and `a != b` is a
test `a == b` that fails.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Final, assert_never

from policyd.language.parser.tokens import is_name, quoted
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
    Scalar,
    StartsWith,
    SubjectIs,
    Test,
    WithinLast,
    WithinNext,
)
from policyd.language.types import Fact, Origin, Type

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_UNITS: Final = (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1))
_OTHER: Final = {"user": "application", "application": "user"}
_MOST: Final = 5


def worded(test: Test | HasSome, *, holds: bool) -> str:
    """Return a test as a condition that is true where the test holds, or where it fails."""
    match test:
        case SubjectIs(kind=kind):
            return f"subject is {kind if holds else _OTHER[kind]}"
        case Present(fact=fact):
            return f"{_name(fact)} is {'present' if holds else 'missing'}"
        case Equal(left=left, right=right):
            if isinstance(left, Literal):
                left, right = right, left
            return f"{_operand(left)} {'==' if holds else '!='} {_operand(right)}"
        case Less(left=left, right=right, or_equal=or_equal):
            if isinstance(left, Literal):  # what is known stands on the right, as people write
                sign = (">=" if or_equal else ">") if holds else ("<" if or_equal else "<=")
                return f"{_operand(right)} {sign} {_operand(left)}"
            sign = ("<=" if or_equal else "<") if holds else (">" if or_equal else ">=")
            return f"{_operand(left)} {sign} {_operand(right)}"
        case Always() | Granted() | IsTrue() | StartsWith() | EndsWith() | WithinLast():
            return _said(test, holds=holds)
        case WithinNext() | In() | HasAny() | HasAll() | HasSome():
            return _said(test, holds=holds)
        case _:
            assert_never(test)


def _said(test: Test | HasSome, *, holds: bool) -> str:
    positive = _positive(test)
    return positive if holds else f"not {positive}"


def _positive(test: Test | HasSome) -> str:
    match test:
        case Always():
            return "true"
        case Granted(scope=scope):
            return f"scope {scope if all(map(is_name, scope.split(':'))) else quoted(scope)}"
        case IsTrue(fact=fact):
            return _name(fact)
        case StartsWith(fact=fact, prefix=prefix):
            return f"{_name(fact)} starts with {quoted(prefix)}"
        case EndsWith(fact=fact, suffix=suffix):
            return f"{_name(fact)} ends with {quoted(suffix)}"
        case WithinLast(fact=fact, seconds=seconds):
            return f"{_name(fact)} within last {duration(seconds)}"
        case WithinNext(fact=fact, seconds=seconds):
            return f"{_name(fact)} within next {duration(seconds)}"
        case In(left=left, right=right):
            return f"{_operand(left)} in {_operand(right)}"
        case HasAny(left=left, right=right):
            if isinstance(left, Literal):
                left, right = right, left
            return f"{_operand(left)} has any {_operand(right)}"
        case HasAll(left=left, right=right):
            return f"{_operand(left)} has all {_operand(right)}"
        case HasSome(fact=fact, condition=condition):
            return f"{_name(fact)} has some ({_condition(condition)})"
        case SubjectIs() | Present() | Equal() | Less():
            return worded(test, holds=True)
        case _:
            assert_never(test)


def _condition(formula: Formula) -> str:
    match formula:
        case All(operands=operands):
            return " and ".join(map(_inner, operands))
        case AnyOf(operands=operands):
            return " or ".join(map(_inner, operands))
        case Not(operand=Leaf() | HasSome() as operand):
            return worded(operand, holds=False)
        case Not(operand=operand):
            return f"not {_inner(operand)}"
        case NamedCondition(name=name):
            return name
        case HasSome() | Leaf():
            return worded(formula, holds=True)
        case _:
            assert_never(formula)


def _inner(formula: Formula) -> str:
    text = _condition(formula)
    return f"({text})" if isinstance(formula, All | AnyOf) else text


def _name(fact: Fact) -> str:
    return fact.name if fact.origin is Origin.ITEM else fact.path


def _operand(operand: Operand) -> str:
    if isinstance(operand, Fact):
        return _name(operand)
    value, element = operand.value, operand.type.element
    if not isinstance(value, tuple):
        return _literal(value, operand.type)
    assert element is not None, "a literal of several values is a set"
    shown = [_literal(one, element) for one in value[:_MOST]]
    if len(value) > _MOST:
        shown.append(f"… {len(value) - _MOST} more")
    return f"[{', '.join(shown)}]"


def _literal(value: Scalar, type_: Type) -> str:
    if type_ is Type.TIME:
        assert isinstance(value, int), "a time is whole seconds"
        return quoted(moment(value))
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | Decimal):
        return str(value)
    return quoted(str(value))


def moment(seconds: int) -> str:
    """Return a time, in seconds since the epoch, as RFC 3339 writes it."""
    return f"{(_EPOCH + timedelta(seconds=seconds)).replace(tzinfo=None).isoformat()}Z"


def duration(seconds: int) -> str:
    """Return a duration as a policy writes it, in the largest unit that it is whole in."""
    unit, size = next(one for one in _UNITS if seconds % one[1] == 0)
    return f"{seconds // size}{unit}"
