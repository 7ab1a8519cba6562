"""Filters: on which resources an action is allowed, as a condition on their attributes.

Each part is that of `proto/`'s message of the same name. A condition is true, false or unknown of a
resource; it is unknown where an attribute that it needs has no value. `policyd_client.filters`
writes it for a database.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timezone
from decimal import Decimal

from . import messages, wire
from .values import Answer, AuthorizationFailed

#: A value of a test: text, addresses and blocks too; number, also a moment in seconds since the
#: epoch; truth; or a set of these.
Value = str | int | Decimal | bool | frozenset[str | int]


@dataclass(frozen=True)
class Attribute:
    """An attribute of a resource in a test, by its name without `resource.`, and its type."""

    name: str
    type: str


@dataclass(frozen=True)
class Field:
    """A field of an element, in the condition of a `HasSome`."""

    name: str
    type: str


@dataclass(frozen=True)
class Literal:
    """A value, and its type."""

    value: Value
    type: str


Operand = Attribute | Field | Literal


@dataclass(frozen=True)
class All:
    """All of these are true."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class AnyOf:
    """One of these is true."""

    conditions: tuple[Condition, ...]


@dataclass(frozen=True)
class Not:
    """This is false."""

    condition: Condition


@dataclass(frozen=True)
class HasSome:
    """A condition is true of one element of an attribute that is a list of records."""

    attribute: str
    condition: Condition


@dataclass(frozen=True)
class Test:
    """A test: `operator` is that of the contract in lower case, such as `starts_with`."""

    __test__ = False  # it is none of pytest's

    operator: str
    left: Operand | None = None
    right: Operand | None = None


Condition = All | AnyOf | Not | HasSome | Test


@dataclass(frozen=True)
class Declared:
    """An attribute that a resource of the type has; `values` are the only texts that it may be or
    hold, none where it may be any."""

    name: str
    type: str
    optional: bool
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Filter:
    """On which resources an action is allowed; see `FilterResponse`.

    `outcome` is `none`, `some` or `all`, `condition` is there with `some` alone. Nothing may be
    decided by it from `valid_until` on. Put it into a query as one of `policyd_client.filters`
    writes it: what that adds to the condition is part of the answer.
    """

    outcome: str
    condition: Condition | None
    attributes: tuple[Declared, ...]
    valid_until: datetime | None
    answer: Answer

    def __bool__(self) -> bool:
        raise TypeError("a filter is no truth value: put it into a query")


def read_filter(message: messages.FilterResponse) -> Filter:
    """Return a filter; an outcome that is not known is none. Raises `AuthorizationFailed`."""
    outcome = _OUTCOMES.get(message.outcome, "none")
    condition = None
    if outcome == "some":
        condition = _condition(message.condition)
    until = message.valid_until
    return Filter(
        outcome=outcome,
        condition=condition,
        attributes=tuple(
            Declared(one.name, _type(one.type), one.optional, tuple(one.values))
            for one in message.attributes
        ),
        valid_until=datetime.fromtimestamp(until.seconds, timezone.utc)
        if message.HasField("valid_until")
        else None,
        answer=wire.answer(message.response),
    )


_OUTCOMES = {
    messages.FILTER_OUTCOME_SOME: "some",
    messages.FILTER_OUTCOME_ALL: "all",
}


def _unknown(what: str) -> AuthorizationFailed:
    """Return the error for what only a newer client knows; without it, a filter is another."""
    return AuthorizationFailed("UNKNOWN", f"the filter has {what} that this client does not know")


def _condition(message: messages.FilterCondition) -> Condition:
    kind = message.WhichOneof("kind")
    if kind == "all":
        return All(_several(message.all.conditions))
    if kind == "any":
        return AnyOf(_several(message.any.conditions))
    if kind == "negated":
        return Not(_condition(message.negated))
    if kind == "has_some":
        return HasSome(message.has_some.attribute, _condition(message.has_some.condition))
    if kind == "test":
        return _test(message.test)
    raise _unknown("a condition")


def _several(conditions: Iterable[messages.FilterCondition]) -> tuple[Condition, ...]:
    found = tuple(map(_condition, conditions))
    if not found:
        raise _unknown("an empty list of conditions")
    return found


def _test(message: messages.FilterTest) -> Test:
    operator = messages.FILTER_OPERATORS.get(message.operator)
    if operator is None:
        raise _unknown("a test")
    return Test(
        operator,
        _operand(message.left) if message.HasField("left") else None,
        _operand(message.right) if message.HasField("right") else None,
    )


def _operand(message: messages.FilterOperand) -> Operand:
    kind, type_ = message.WhichOneof("kind"), _type(message.type)
    if kind == "attribute":
        return Attribute(message.attribute, type_)
    if kind == "field":
        return Field(message.field, type_)
    if kind == "value":
        return Literal(_value(message.value, type_), type_)
    raise _unknown("an operand")


def _type(number: int) -> str:
    found = messages.FILTER_TYPES.get(number)
    if found is None:
        raise _unknown("a type")
    return found


def _value(message: messages.FilterValue, type_: str) -> Value:
    if message.WhichOneof("kind") == "set":
        return frozenset(map(_element, message.set.values))
    if message.WhichOneof("kind") == "truth":
        truth: bool = message.truth
        return truth
    found = _element(message)
    return Decimal(found) if type_ == "decimal" else found


def _element(message: messages.FilterValue) -> str | int:
    kind = message.WhichOneof("kind")
    if kind == "number":
        number: int = message.number
        return number
    if kind == "text":
        text: str = message.text
        return text
    raise _unknown("a value")
