"""Filters as conditions of SQLAlchemy 2, for SQLite and PostgreSQL.

from policyd_client.filters.sqlalchemy import where

made = client.filter(token, action="read", resource_type="document")
columns = {"id": Document.id, "owner": Document.owner, "org_id": Document.org_id}
session.scalars(select(Document).where(where(made, columns, session.get_bind().dialect)))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

from sqlalchemy import text
from sqlalchemy.engine import Dialect
from sqlalchemy.sql.elements import TextClause

from ..filtering import Filter
from . import postgres, sqlite
from .sql import Expression, FilterRefused, Where


class Column(Protocol):
    """What is used of a column, and of an attribute of a mapped class."""

    def compile(self, *, dialect: Dialect) -> object: ...


_PRINTERS: dict[str, Callable[[Filter, Mapping[str, str], Callable[[int], str]], Where]] = {
    "sqlite": sqlite.where,
    "postgresql": postgres.where,
}


def where(made: Filter, columns: Mapping[str, Column], dialect: Dialect) -> TextClause:
    """Return a filter as a condition for `select(…).where(…)`.

    Columns hold what `sqlite` and `postgres` say; `dialect` is that of the engine. Raises
    `FilterRefused`.
    """
    printer = _PRINTERS.get(dialect.name)
    if printer is None:
        raise FilterRefused(f"filters are written for {', '.join(_PRINTERS)}, not {dialect.name}")
    named = {
        name: Expression(_literally(str(column.compile(dialect=dialect)), dialect))
        for name, column in columns.items()
    }
    # With a space behind: a colon there, as in `::text`, would end no parameter's name.
    found = printer(made, named, ":policyd_{} ".format)
    values = {f"policyd_{number}": one for number, one in enumerate(found.parameters)}
    return text(f"({found.text})").bindparams(**values)


def _literally(name: str, dialect: Dialect) -> str:
    """Write a name as `text` takes it: a colon in it is no parameter's, and a percent sign, which
    some drivers want twice, is doubled by `text` again."""
    if dialect.paramstyle in ("format", "pyformat"):
        name = name.replace("%%", "%")
    return name.replace(":", "\\:")
