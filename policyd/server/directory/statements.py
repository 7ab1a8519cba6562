"""The queries of a directory in a database: an entity by its identifier, and pages in their order.

Pages follow the identifier, by its order in the database: the next page begins after the last
identifier of the one before, so rows that come and go between two pages neither repeat others nor
hide them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Protocol

import msgspec

from policyd.client.filtering import Filter
from policyd.client.filters import Expression, Where
from policyd.config.entities import EntityTable
from policyd.server.directory.model import Types


class Statement(msgspec.Struct, frozen=True):
    """A query and its parameters."""

    text: str
    parameters: tuple[object, ...]


class Writing(Protocol):
    """How a database writes: the mark of a parameter, names among text with such marks, and the
    order of identifiers."""

    mark: str

    def escaped(self, name: str) -> str: ...

    def ordered(self, column: str) -> str: ...

    def where(self, made: Filter, columns: Mapping[str, str]) -> Where: ...


def one(table: EntityTable, id_: str, writing: Writing) -> Statement:
    """Ask for an entity. Two rows are one too many, so two are asked for."""
    asked = f"{_select(table, writing)} WHERE {writing.escaped(table.id)} = {writing.mark} LIMIT 2"
    return Statement(asked, (id_,))


def page(
    table: EntityTable,
    after: str,
    limit: int,
    writing: Writing,
    made: Filter | None = None,
    types: Types = MappingProxyType({}),
) -> Statement:
    """Ask for at most `limit` entities after an identifier, those that a filter selects.

    `types` are the declarations that it was made by. Raises `FilterRefused`.
    """
    parameters: list[object] = []
    ordered = writing.ordered(writing.escaped(table.id))
    conditions = [f"{writing.escaped(table.id)} IS NOT NULL"]
    if after:
        conditions.append(f"{ordered} > {writing.mark}")
        parameters.append(after)
    if made is not None:
        # The identifier may be a number or a UUID, and a policy compares its text.
        columns: dict[str, str] = {"id": Expression(f"CAST({table.id} AS TEXT)")}
        for name, column in table.columns.items():
            if name in types and types[name].attribute:
                columns[types[name].attribute] = column
        where = writing.where(made, columns)
        conditions.append(f"({where.text})")
        parameters += where.parameters
    text = f"{_select(table, writing)} WHERE {' AND '.join(conditions)} ORDER BY {ordered}"
    return Statement(f"{text} LIMIT {limit}", tuple(parameters))


def _select(table: EntityTable, writing: Writing) -> str:
    names = map(writing.escaped, (table.id, *table.columns.values()))
    # Names are those of the configuration, which is held against `COLUMN` and `TABLE`.
    return f"SELECT {', '.join(names)} FROM {writing.escaped(table.table)}"  # noqa: S608
