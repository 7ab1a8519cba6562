"""Filters for PostgreSQL 12 or newer, with `%s` for parameters, as psycopg takes them.

Columns hold exactly what the policy declares:

    string  text or varchar, never char(n); no collation matters
    int     integer or bigint from -(2^53 - 1) to 2^53 - 1
    decimal numeric
    bool    boolean
    time    timestamptz, never infinite; fractions of a second are cut
    ip      inet without a netmask, never an IPv4-mapped address
    set     text[], bigint[] or inet[], without NULL in it
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..filtering import Attribute, Filter, Literal, Operand, Test, Value
from .sql import Printer, Where, known_and

_ARRAYS = {"set_of_string": "text[]", "set_of_int": "bigint[]", "set_of_ip": "inet[]"}
_CASTS = {"string": "text", "int": "bigint", "decimal": "numeric", "bool": "boolean", "ip": "inet"}
_ELEMENTS = {"set_of_string": "string", "set_of_int": "int", "set_of_ip": "ip"}


def where(
    made: Filter,
    columns: Mapping[str, str],
    placeholder: Callable[[int], str] | None = None,
) -> Where:
    """Return a filter as a condition; `columns` are those of attributes, such as
    `{"owner": "documents.owner"}`.

    `placeholder` is for drivers that take another, such as `lambda n: f"${n + 1}"`. Raises
    `FilterRefused`.
    """
    if placeholder is None:
        return _Postgres(
            made, columns, lambda _: "%s", lambda text: text.replace("%", "%%")
        ).where()
    return _Postgres(made, columns, placeholder).where()


class _Postgres(Printer):
    database = "PostgreSQL"

    def _check_type(self, type_: str, what: str) -> None:
        if type_ == "list":
            raise self._refused(what, "a list of records")

    def _text(self, column: str) -> str:
        return f'({column} COLLATE "C")'

    def _as(self, type_: str, column: str) -> str:
        if type_ == "time":
            return f"floor(extract(epoch FROM {column}))"
        return self._text(column) if type_ == "string" else column

    def _as_parameter(self, type_: str, value: Value) -> str:
        return f"{self._parameter(value)}::{_CASTS.get(type_, 'bigint')}"

    def _test(self, test: Test) -> str:
        """A text with U+0000 cannot be a parameter, and no column holds one: nothing is equal."""
        if test.operator in ("equal", "in", "starts_with", "ends_with"):
            sides = (test.left, test.right)
            if any(isinstance(one, Literal) and not _storable(one.value) for one in sides):
                columns = [self._column(one.name) for one in sides if isinstance(one, Attribute)]
                return known_and(columns, "FALSE")
        return super()._test(test)

    def _is_true(self, column: str) -> str:
        return column

    def _affix(self, text: str, affix: str, operator: str) -> str:
        if operator == "starts_with":
            return f"starts_with({text}, {self._parameter(affix)}::text)"
        if not affix:
            return known_and([text], "TRUE")
        number = self._parameter(len(affix))
        return f"(right({text}, {number}::int) = {self._parameter(affix)}::text)"

    def _is_in(self, scalar: str, values: Literal) -> str:
        element = _ELEMENTS[values.type]
        listed = [self._as_parameter(element, one) for one in _elements(values)]
        if not listed:
            return known_and([scalar], "FALSE")
        if element == "ip":  # a block has its addresses, and an address is a block of one
            return f"({scalar} <<= ANY (ARRAY[{', '.join(listed)}]))"
        return f"({scalar} IN ({', '.join(listed)}))"

    def _is_member(self, left: Operand, right: Operand, test: Test) -> str:
        return f"({self._operand(left, test)} = ANY ({self._set(right, test.operator)}))"

    def _has_any(self, left: Operand, right: Operand, what: str) -> str:
        if isinstance(right, Literal) and right.type == "set_of_ip":
            column = self._set(left, what)
            blocks = self._set(right, what)
            exists = f"EXISTS (SELECT 1 FROM unnest({column}) AS e WHERE e <<= ANY ({blocks}))"
            return known_and([column], exists)
        return f"({self._set(left, what)} && {self._set(right, what)})"

    def _has_all(self, left: Operand, right: Operand, what: str) -> str:
        if isinstance(right, Literal) and right.type == "set_of_ip":
            column = self._set(left, what)
            blocks = self._set(right, what)
            missing = (
                f"EXISTS (SELECT 1 FROM unnest({blocks}) AS b WHERE NOT EXISTS "
                f"(SELECT 1 FROM unnest({column}) AS e WHERE e <<= b))"
            )
            return known_and([column], f"NOT {missing}")
        if isinstance(right, Literal) and len(_elements(right)) < len(_all(right)):
            return known_and([self._set(left, what)], "FALSE")  # it lacks what cannot be stored
        return f"({self._set(left, what)} @> {self._set(right, what)})"

    def _set(self, operand: Operand, what: str) -> str:
        if isinstance(operand, Attribute):
            self._check_type(operand.type, what)
            return self._column(operand.name)
        if not isinstance(operand, Literal):
            raise self._refused(what, "a list of records")
        listed = ", ".join(self._parameter(one) for one in _elements(operand))
        return f"ARRAY[{listed}]::{_ARRAYS[operand.type]}"


def _storable(value: object) -> bool:
    return not isinstance(value, str) or "\0" not in value


def _all(values: Literal) -> frozenset[str | int]:
    assert isinstance(values.value, frozenset), "sets only are asked for elements"
    return values.value


def _elements(values: Literal) -> list[str | int]:
    """Return the elements that a column can hold."""
    return [one for one in sorted(_all(values), key=repr) if _storable(one)]
