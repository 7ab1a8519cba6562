"""What the SQL of all databases has in common.

SQL's NULL is what a policy calls unknown: AND, OR and NOT follow the same tables, and WHERE keeps a
row only if the condition is true. So each test has to be NULL exactly where one of its operands is,
which operators are and EXISTS is not.

Two things belong to the answer beside the condition: a row that lacks an attribute which is not
optional, or has a value that is none of its vocabulary, is no resource that the policy knows, and
is not selected.
"""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from ..filtering import (
    All,
    AnyOf,
    Attribute,
    Condition,
    Declared,
    Field,
    Filter,
    HasSome,
    Literal,
    Not,
    Operand,
    Test,
    Value,
)
from ..values import AuthorizationFailed

#: From how many operands on AND and OR become trees: databases limit how deep an expression is.
_WIDE = 100
_NAME = r'(?:[A-Za-z_][A-Za-z0-9_$]*|"(?:[^"\0]|"")+")'
_COLUMN = re.compile(rf"{_NAME}(?:\.{_NAME}){{0,3}}")


class FilterRefused(AuthorizationFailed):
    """A filter cannot be written for a database, or not for this table. The text says where."""

    def __init__(self, message: str) -> None:
        super().__init__("UNIMPLEMENTED", message, "FILTER_REFUSED")


class Expression(str):
    """SQL that stands for a column, such as `Expression("id::text")`. The program's own text, and
    never a caller's."""

    __slots__ = ()


@dataclass(frozen=True)
class Where:
    """A condition for WHERE, and its parameters in the order of their places."""

    text: str
    parameters: tuple[object, ...]


class Printer(ABC):
    """Writes one filter. `columns` are the columns of attributes, by their names; those of
    attributes that the action does not have are left alone.

    `placeholder` returns what stands in the text for the parameter of a number, from 0 on.
    """

    #: What it is called in messages.
    database: str

    def __init__(
        self,
        made: Filter,
        columns: Mapping[str, str],
        placeholder: Callable[[int], str],
        escape: Callable[[str], str] = lambda text: text,
    ) -> None:
        self._filter = made
        self._columns = {name: escape(_checked(name, one)) for name, one in columns.items()}
        self._placeholder = placeholder
        self._parameters: list[object] = []

    def where(self) -> Where:
        """Return the condition. Raises `FilterRefused`."""
        if self._filter.outcome == "none":
            return Where("1 = 0", ())
        condition = self._filter.condition
        parts = [] if condition is None else [self._condition(condition)]
        for one in self._filter.attributes:
            parts += self._well_formed(one)
        return Where(_joined(parts, "AND") if parts else "1 = 1", tuple(self._parameters))

    def _well_formed(self, declared: Declared) -> list[str]:
        """Say what a row must be to be a resource that the policy knows."""
        if declared.name not in self._columns:
            if declared.optional:
                return []
            raise FilterRefused(
                f"the policy demands `resource.{declared.name}`, and there is no column for it"
            )
        column = self._column(declared.name)
        parts = [] if declared.optional else [f"{column} IS NOT NULL"]
        if declared.values:
            known = self._of_vocabulary(column, declared)
            parts.append(f"({column} IS NULL OR {known})" if declared.optional else known)
        return parts

    def _of_vocabulary(self, column: str, declared: Declared) -> str:
        values = frozenset(declared.values)
        if declared.type == "string":
            return self._is_in(self._text(column), Literal(values, "set_of_string"))
        return self._has_all(Literal(values, "set_of_string"), Attribute(declared.name, ""), "")

    def _condition(self, condition: Condition) -> str:
        if isinstance(condition, All):
            return _joined([self._condition(one) for one in condition.conditions], "AND")
        if isinstance(condition, AnyOf):
            return _joined([self._condition(one) for one in condition.conditions], "OR")
        if isinstance(condition, Not):
            return f"(NOT {self._condition(condition.condition)})"
        if isinstance(condition, HasSome):
            raise self._refused(f"resource.{condition.attribute} has some (…)", "a list of records")
        return self._test(condition)

    def _test(self, test: Test) -> str:
        left, right, operator = test.left, test.right, test.operator
        if operator == "always":
            return "1 = 1"
        if left is None:
            raise self._refused(_said(test), "a test of nothing")
        if operator == "is_present":
            return f"({self._operand(left, test)} IS NOT NULL)"
        if operator == "is_true":
            return self._is_true(self._operand(left, test))
        if right is None:
            raise self._refused(_said(test), "a test with one operand")
        if operator in _SIGNS:
            sides = (self._operand(one, test) for one in (left, right))
            return f"({f' {_SIGNS[operator]} '.join(sides)})"
        if operator in ("starts_with", "ends_with") and isinstance(right, Literal):
            return self._affix(self._operand(left, test), str(right.value), operator)
        if operator == "in":
            if isinstance(right, Literal):
                return self._is_in(self._operand(left, test), right)
            return self._is_member(left, right, test)
        if operator == "has_any":
            return self._has_any(left, right, _said(test))
        if operator == "has_all":
            return self._has_all(left, right, _said(test))
        raise self._refused(_said(test), "an operator that it does not have")

    # -- operands --------------------------------------------------------------------------------

    def _operand(self, operand: Operand, test: Test) -> str:
        """Write a scalar, as what of this type is compared by."""
        if isinstance(operand, Field):
            raise self._refused(_said(test), "a list of records")
        self._check_type(operand.type, _said(test))
        if isinstance(operand, Attribute):
            return self._as(operand.type, self._column(operand.name))
        return self._as_parameter(operand.type, operand.value)

    def _column(self, name: str) -> str:
        column = self._columns.get(name)
        if column is None:
            raise FilterRefused(
                f"the filter reads `resource.{name}`, and there is no column for it"
            )
        # Who has no identifier is asked about with an empty one, so an empty one is none.
        return f"NULLIF({column}, '')" if name == "id" else column

    def _parameter(self, value: object) -> str:
        self._parameters.append(value)
        return self._placeholder(len(self._parameters) - 1)

    def _refused(self, what: str, why: str) -> FilterRefused:
        return FilterRefused(f"`{what}` cannot be written for {self.database}: {why}")

    # -- what each database says in its own way ----------------------------------------------------

    @abstractmethod
    def _check_type(self, type_: str, what: str) -> None:
        """Refuse a type that the database does not have."""

    @abstractmethod
    def _text(self, column: str) -> str:
        """Write a text, to be compared by code point."""

    @abstractmethod
    def _as(self, type_: str, column: str) -> str:
        """Write a column as what it is compared by."""

    @abstractmethod
    def _as_parameter(self, type_: str, value: Value) -> str:
        """Write a value as what it is compared by."""

    @abstractmethod
    def _is_true(self, column: str) -> str:
        """Write that a bool is true."""

    @abstractmethod
    def _affix(self, text: str, affix: str, operator: str) -> str:
        """Write that a text begins or ends with another."""

    @abstractmethod
    def _is_in(self, scalar: str, values: Literal) -> str:
        """Write that a scalar is one of some values, or in one of some blocks."""

    @abstractmethod
    def _is_member(self, left: Operand, right: Operand, test: Test) -> str:
        """Write that a scalar is an element of a column that is a set."""

    @abstractmethod
    def _has_any(self, left: Operand, right: Operand, what: str) -> str:
        """Write that two sets, one of which is a column, have an element in common."""

    @abstractmethod
    def _has_all(self, left: Operand, right: Operand, what: str) -> str:
        """Write that a set has all elements of another, one of which is a column."""


_SIGNS = {"equal": "=", "less": "<", "less_or_equal": "<="}


def known_and(columns: Sequence[str], truth: str) -> str:
    """Write a test that is NULL by itself only if it should be: EXISTS never is, a constant too."""
    missing = " OR ".join(f"{column} IS NULL" for column in columns)
    return f"(CASE WHEN {missing} THEN NULL ELSE {truth} END)"


def _joined(parts: Sequence[str], word: str) -> str:
    """Join conditions; where there are many, as a tree that is not deep."""
    if len(parts) == 1:
        return parts[0]
    if len(parts) <= _WIDE:
        return f"({f' {word} '.join(parts)})"
    half = len(parts) // 2
    return f"({_joined(parts[:half], word)} {word} {_joined(parts[half:], word)})"


def _checked(name: str, column: str) -> str:
    if isinstance(column, Expression) or _COLUMN.fullmatch(column):
        return str(column)
    raise FilterRefused(
        f"the column of `{name}` is no name of SQL: an expression is written Expression(…)"
    )


def _said(test: Test) -> str:
    """Return a test for a message, without its values."""
    sides = [
        "…" if isinstance(one, Literal) else f"resource.{one.name}"
        for one in (test.left, test.right)
        if one is not None
    ]
    return f" {test.operator.replace('_', ' ')} ".join(sides)
