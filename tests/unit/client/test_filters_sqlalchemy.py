"""Filters in SQLAlchemy, on SQLite; skipped where SQLAlchemy is not installed."""

from __future__ import annotations

import pytest

from policyd.client.filtering import Attribute, Declared, Filter, Literal, Not, Test
from policyd.client.filters import FilterRefused
from tests.unit.client.test_filters import ANSWER

sqlalchemy = pytest.importorskip("sqlalchemy", reason="SQLAlchemy is not installed")


def test_a_condition_of_a_select() -> None:
    from policyd.client.filters.sqlalchemy import where

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
    from policyd.client.filters.sqlalchemy import where

    dialect = sqlalchemy.dialects.registry.load("mysql")()
    made = Filter("all", None, (), None, ANSWER)
    with pytest.raises(FilterRefused, match="sqlite, postgresql, not mysql"):
        where(made, {}, dialect)
