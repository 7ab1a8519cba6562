"""Filters for SQLite 3.38 or newer, with `?` for parameters.

Columns hold exactly what the policy declares:

    string  TEXT, in a database whose encoding is UTF-8
    int     INTEGER
    bool    INTEGER, 0 or 1
    time    INTEGER, whole seconds since 1970-01-01T00:00:00Z
    set     TEXT, a JSON array of texts without U+0000, or of whole numbers

Numbers with a fraction are refused, since SQLite's are binary, and addresses.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

from ..filtering import Attribute, Filter, Literal, Operand, Test, Value
from .sql import Printer, Where, known_and

_WHY = {
    "decimal": "its numbers with a fraction are binary",
    "ip": "it has no addresses",
    "set_of_ip": "it has no addresses",
    "list": "a list of records",
}


def where(
    made: Filter,
    columns: Mapping[str, str],
    placeholder: Callable[[int], str] = lambda _: "?",
) -> Where:
    """Return a filter as a condition; `columns` are those of attributes, such as
    `{"owner": "documents.owner"}`. Raises `FilterRefused`."""
    return _Sqlite(made, columns, placeholder).where()


class _Sqlite(Printer):
    database = "SQLite"

    def _check_type(self, type_: str, what: str) -> None:
        if type_ in _WHY:
            raise self._refused(what, _WHY[type_])

    def _text(self, column: str) -> str:
        return f"{column} COLLATE BINARY"

    def _as(self, type_: str, column: str) -> str:
        return self._text(column) if type_ == "string" else column

    def _as_parameter(self, type_: str, value: Value) -> str:
        written = self._parameter(int(value) if isinstance(value, bool) else value)
        return self._text(written) if type_ == "string" else written

    def _is_true(self, column: str) -> str:
        return f"({column} <> 0)"

    def _affix(self, text: str, affix: str, operator: str) -> str:
        # A text ends for `substr` at U+0000; its bytes do not.
        column = text.removesuffix(" COLLATE BINARY")
        found = affix.encode()
        if not found:
            return known_and([column], "TRUE")
        start = 1 if operator == "starts_with" else -len(found)
        parameters = [self._parameter(one) for one in (start, len(found), found)]
        # Of no bytes at all it makes NULL.
        part = "COALESCE(substr(CAST({} AS BLOB), {}, {}), X'') = {}".format(column, *parameters)
        return known_and([column], part)

    def _is_in(self, scalar: str, values: Literal) -> str:
        listed = self._listed(values)
        if not listed:
            return known_and([scalar], "FALSE")
        return f"({scalar} IN ({listed}))"

    def _is_member(self, left: Operand, right: Operand, test: Test) -> str:
        scalar, column = self._operand(left, test), self._set(right, "in")
        truth = f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE e.value = {scalar})"
        columns = [column]
        if isinstance(left, Attribute):
            columns.append(self._column(left.name))
        return known_and(columns, truth)

    def _has_any(self, left: Operand, right: Operand, what: str) -> str:
        if isinstance(left, Literal):
            left, right = right, left
        column = self._set(left, what)
        if isinstance(right, Literal):
            listed = self._listed(right)
            exists = f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE e.value IN ({listed}))"
            return known_and([column], exists if listed else "FALSE")
        other = self._set(right, what)
        exists = (
            f"EXISTS (SELECT 1 FROM json_each({column}) AS e, json_each({other}) AS f "
            "WHERE e.value = f.value)"
        )
        return known_and([column, other], exists)

    def _has_all(self, left: Operand, right: Operand, what: str) -> str:
        if isinstance(right, Literal):
            column, listed = self._set(left, what), self._listed(right)
            if not listed:
                return known_and([column], "TRUE")
            number = self._parameter(len(_elements(right)))
            counted = (
                f"(SELECT COUNT(DISTINCT e.value) FROM json_each({column}) AS e "
                f"WHERE e.value IN ({listed})) = {number}"
            )
            return known_and([column], counted)
        column = self._set(right, what)
        if isinstance(left, Literal):
            listed = self._listed(left)
            foreign = f"e.value NOT IN ({listed})" if listed else "TRUE"
            missing = f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE {foreign})"
            return known_and([column], f"NOT {missing}")
        other = self._set(left, what)
        missing = (
            f"EXISTS (SELECT 1 FROM json_each({column}) AS e WHERE NOT EXISTS "
            f"(SELECT 1 FROM json_each({other}) AS f WHERE f.value = e.value))"
        )
        return known_and([column, other], f"NOT {missing}")

    def _set(self, operand: Operand, what: str) -> str:
        if not isinstance(operand, Attribute):
            raise self._refused(what, "a list of records")
        self._check_type(operand.type, what)
        return self._column(operand.name)

    def _listed(self, values: Literal) -> str:
        self._check_type(values.type, "a list of values")
        return ", ".join(self._parameter(one) for one in _elements(values))


def _elements(values: Literal) -> list[str | int]:
    assert isinstance(values.value, frozenset), "sets only are asked for elements"
    return sorted(values.value, key=repr)
