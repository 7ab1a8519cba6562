"""Filters to protobuf: the half of `convert` that only `Filter` needs.

Input: a decision with its filter. Output: the bytes of a FilterResponse. What is denied, for
whatever reason, has the outcome *none*, and so has an answer without a filter.
"""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal
from typing import Final, assert_never

from policyd.decision.model import Decided, Filter
from policyd.language.policy import (
    All,
    Always,
    AnyOf,
    Attribute,
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
from policyd.program.plain_values import canonical
from policyd.server.wire.convert_response import check_response
from policyd.v1 import authorization_pb2 as messages

_TYPES: Final = {
    Type.STRING: messages.FILTER_TYPE_STRING,
    Type.INT: messages.FILTER_TYPE_INT,
    Type.DECIMAL: messages.FILTER_TYPE_DECIMAL,
    Type.BOOL: messages.FILTER_TYPE_BOOL,
    Type.TIME: messages.FILTER_TYPE_TIME,
    Type.IP: messages.FILTER_TYPE_IP,
    Type.SET_OF_STRING: messages.FILTER_TYPE_SET_OF_STRING,
    Type.SET_OF_INT: messages.FILTER_TYPE_SET_OF_INT,
    Type.SET_OF_IP: messages.FILTER_TYPE_SET_OF_IP,
    Type.LIST: messages.FILTER_TYPE_LIST,
}
_RELATIONS: Final[dict[type[Test], messages.FilterOperator.ValueType]] = {
    Equal: messages.FILTER_OPERATOR_EQUAL,
    In: messages.FILTER_OPERATOR_IN,
    HasAny: messages.FILTER_OPERATOR_HAS_ANY,
    HasAll: messages.FILTER_OPERATOR_HAS_ALL,
}


def filter_response(decided: Decided) -> bytes:
    """Write a FilterResponse."""
    decision, _ = decided
    message = messages.FilterResponse(outcome=messages.FILTER_OUTCOME_NONE)
    message.response.ParseFromString(check_response(decided))
    partial = decision.partial
    if partial is not None and partial.filter is not None and partial.outcome != "deny":
        _put_filter(message, partial.filter)
        if decision.cacheable_until is not None:
            message.valid_until.FromSeconds(decision.cacheable_until)
    return message.SerializeToString()


def _put_filter(message: messages.FilterResponse, made: Filter) -> None:
    for attribute in made.attributes:
        _put_attribute(message.attributes.add(), attribute)
    if made.condition is None:
        message.outcome = messages.FILTER_OUTCOME_ALL
        return
    message.outcome = messages.FILTER_OUTCOME_SOME
    _put(message.condition, made.condition)


def _put_attribute(message: messages.FilterAttribute, attribute: Attribute) -> None:
    fact = attribute.fact
    message.name, message.type, message.optional = fact.name, _TYPES[fact.type], attribute.optional
    if fact.vocabulary is not None:
        message.values.extend(sorted(fact.vocabulary.values))


def _put(message: messages.FilterCondition, formula: Formula) -> None:
    match formula:
        case All(operands=operands):
            for one in operands:
                _put(message.all.conditions.add(), one)
        case AnyOf(operands=operands):
            for one in operands:
                _put(message.any.conditions.add(), one)
        case Not(operand=operand):
            _put(message.negated, operand)
        case NamedCondition(formula=inner):
            _put(message, inner)
        case HasSome(fact=fact, condition=condition):
            message.has_some.attribute = fact.name
            _put(message.has_some.condition, condition)
        case Leaf():
            _put_test(message.test, formula)
        case _:
            assert_never(formula)


def _put_test(message: messages.FilterTest, test: Test) -> None:
    match test:
        case Always():
            message.operator = messages.FILTER_OPERATOR_ALWAYS
        case IsTrue(fact=fact):
            message.operator = messages.FILTER_OPERATOR_IS_TRUE
            _put_operand(message.left, fact)
        case Present(fact=fact):
            message.operator = messages.FILTER_OPERATOR_IS_PRESENT
            _put_operand(message.left, fact)
        case Less(left=left, right=right, or_equal=or_equal):
            less, not_more = (
                messages.FILTER_OPERATOR_LESS,
                messages.FILTER_OPERATOR_LESS_OR_EQUAL,
            )
            message.operator = not_more if or_equal else less
            _put_operand(message.left, left)
            _put_operand(message.right, right)
        case Equal(left=left, right=right) | In(left=left, right=right):
            _put_relation(message, test, left, right)
        case HasAny(left=left, right=right) | HasAll(left=left, right=right):
            _put_relation(message, test, left, right)
        case StartsWith(fact=fact, prefix=text):
            message.operator = messages.FILTER_OPERATOR_STARTS_WITH
            _put_operand(message.left, fact)
            _put_operand(message.right, Literal(Type.STRING, text))
        case EndsWith(fact=fact, suffix=text):
            message.operator = messages.FILTER_OPERATOR_ENDS_WITH
            _put_operand(message.left, fact)
            _put_operand(message.right, Literal(Type.STRING, text))
        case Granted() | SubjectIs() | WithinLast() | WithinNext():
            raise TypeError("nothing of the token or the clock is left in a filter")
        case _:
            assert_never(test)


def _put_relation(message: messages.FilterTest, test: Test, left: Operand, right: Operand) -> None:
    message.operator = _RELATIONS[type(test)]
    _put_operand(message.left, left)
    _put_operand(message.right, right)


def _put_operand(message: messages.FilterOperand, operand: Operand) -> None:
    message.type = _TYPES[operand.type]
    if isinstance(operand, Literal):
        value = operand.value
        if isinstance(value, tuple):
            message.value.set.SetInParent()
            message.value.set.values.extend(_distinct(value))
        else:
            message.value.CopyFrom(_value(value))
    elif operand.origin is Origin.ITEM:
        message.field = operand.name
    else:
        message.attribute = _name(operand)


def _name(fact: Fact) -> str:
    if fact.origin is not Origin.RESOURCE:
        raise TypeError(f"{fact.path} is left in a filter")
    return fact.name


def _distinct(values: Iterable[Scalar]) -> list[messages.FilterValue]:
    """Return the elements of a set, each once: two blocks may be written in two ways."""
    return [_value(one) for one in dict.fromkeys(map(canonical, values))]


def _value(value: Scalar) -> messages.FilterValue:
    match value:
        case bool():
            return messages.FilterValue(truth=value)
        case int():
            return messages.FilterValue(number=value)
        case Decimal():
            return messages.FilterValue(text=f"{value:f}")
        case str():
            return messages.FilterValue(text=value)
        case _:
            return messages.FilterValue(text=str(canonical(value)))
