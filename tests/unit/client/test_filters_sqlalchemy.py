"""Filters in SQLAlchemy: as SQLite selects by them, and as PostgreSQL gets them."""

from __future__ import annotations

import pytest
import sqlalchemy

from policyd.client.filtering import Attribute, Declared, Filter, Literal, Not, Test
from policyd.client.filters import FilterRefused
from policyd.client.filters.sqlalchemy import where
from tests.unit.client.test_filters import ANSWER


def test_a_condition_of_a_select() -> None:
    table = sqlalchemy.Table(
        "odd things",
        sqlalchemy.MetaData(),
        sqlalchemy.Column("owner:id", sqlalchemy.Text),
        sqlalchemy.Column("size", sqlalchemy.Integer),
    )
    engine = sqlalchemy.create_engine("sqlite://")
    table.metadata.create_all(engine)
    declared = (Declared("owner", "string", True), Declared("size", "int", False))
    condition = Not(Test("equal", Attribute("owner", "string"), Literal("ann", "string")))
    made = Filter("some", condition, declared, None, ANSWER)
    columns = {"owner": table.c["owner:id"], "size": table.c.size}
    rows = [("ann", 1), ("bob", 2), ("eve", None), (None, 4)]
    with engine.begin() as connection:
        connection.execute(
            table.insert(), [{"owner:id": owner, "size": size} for owner, size in rows]
        )
        found = connection.execute(
            sqlalchemy.select(table).where(where(made, columns, engine.dialect))
        )
        assert [tuple(row) for row in found] == [("bob", 2)]
    engine.dispose()


def test_other_databases() -> None:
    dialect = sqlalchemy.dialects.registry.load("mysql")()
    made = Filter("all", None, (), None, ANSWER)
    with pytest.raises(FilterRefused, match="sqlite, postgresql, not mysql"):
        where(made, {}, dialect)


def test_names_and_parameters_for_postgresql() -> None:
    table = sqlalchemy.table("t", sqlalchemy.column("odd%name:x"), sqlalchemy.column("n"))
    condition = Test("equal", Attribute("owner", "string"), Literal("ann", "string"))
    made = Filter("some", condition, (Declared("owner", "string", True),), None, ANSWER)
    dialect = sqlalchemy.dialects.registry.load("postgresql.psycopg")()
    asked = sqlalchemy.select(table.c.n).where(
        where(made, {"owner": table.c["odd%name:x"]}, dialect)
    )
    written = asked.compile(dialect=dialect)
    assert """(t."odd%%name:x" COLLATE "C") = %(policyd_0)s""" in str(written)
    assert written.params == {"policyd_0": "ann"}
