"""Filters in real databases: what they select is what `Check` allows, row by row, by each driver.

PostgreSQL is one that the test starts for itself, where its programs are installed.
"""

from __future__ import annotations

import json
import os
import random
import sqlite3
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from decimal import Decimal

import psycopg
import pytest
import sqlalchemy
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from policyd.client.filtering import Filter
from policyd.client.filters import FilterRefused, Where, postgres, sqlite
from policyd.client.filters import sqlalchemy as in_sqlalchemy
from policyd.language.policy import Api
from policyd.language.types import Type
from policyd.program.plain_values import Value
from tests.support.filters import COLUMNS, Case, Row, about_resources, cases
from tests.support.postgres import Postgres, installed

_SLOW = [HealthCheck.too_slow, HealthCheck.data_too_large]
#: Tokens for each policy, and resources for each token: 300 filters are 30,000 answers. So many are
#: tried by `make nightly`, and a fifth by `make test`.
_TOKENS, _ROWS = 3, 100
_FEW = 4
_MANY = int(os.environ.get("POLICYD_FILTERS", "20"))
_EXAMPLES = pytest.mark.parametrize("examples", [_FEW, pytest.param(_MANY, marks=pytest.mark.slow)])


def _check_all(examples: int, check: Callable[[Case], str]) -> Counter[str]:
    met: Counter[str] = Counter()

    @settings(max_examples=examples, suppress_health_check=_SLOW, deadline=None)
    @given(about_resources(), st.integers(0, 2**32 - 1))
    def holds(api: Api, seed: int) -> None:
        for case in cases(api, random.Random(seed), _TOKENS, _ROWS):
            met[check(case)] += 1

    holds()
    return met


def _written(case: Case, write: Callable[[Filter, dict[str, str]], Where]) -> Where | None:
    """Return a filter as a condition, `None` where it is refused with the place and the reason."""
    try:
        return write(case.filter, {name: f'things."{name}"' for name in COLUMNS})
    except FilterRefused as refused:
        said = str(refused)
    assert "cannot be written for" in said
    assert "resource." in said
    return None


def _expected(case: Case) -> set[int]:
    return {number for number, allowed in enumerate(case.allowed) if allowed}


#: The columns as SQLAlchemy knows them: it writes their names alone.
_THINGS = sqlalchemy.table("things", *map(sqlalchemy.column, ("n", *COLUMNS)))


def _selected(connection: sqlalchemy.Connection, case: Case) -> set[int]:
    """Return what a filter selects through SQLAlchemy."""
    columns = {name: _THINGS.c[name] for name in COLUMNS}
    where = in_sqlalchemy.where(case.filter, columns, connection.dialect)
    return set(connection.scalars(sqlalchemy.select(_THINGS.c.n).where(where)))


# -- SQLite --------------------------------------------------------------------------------------


def _in_sqlite(value: Value | None) -> object:
    if isinstance(value, frozenset):
        return json.dumps([one if isinstance(one, int) else str(one) for one in value])
    return value if value is None or isinstance(value, str | int) else str(value)


def _filled(rows: Sequence[Row]) -> sqlite3.Connection:
    connection = sqlite3.connect(":memory:")
    columns = ", ".join(f'"{name}"' for name in COLUMNS)
    connection.execute(f"CREATE TABLE things (n INTEGER PRIMARY KEY, {columns})")
    places = ", ".join("?" for _ in COLUMNS)
    connection.executemany(
        f"INSERT INTO things VALUES (?, {places})",
        [(n, *(_in_sqlite(row.held[one]) for one in COLUMNS)) for n, row in enumerate(rows)],
    )
    connection.commit()  # SQLAlchemy begins with a rollback
    return connection


def _check_sqlite(case: Case) -> str:
    where = _written(case, sqlite.where)
    if where is None:
        return "refused"
    with closing(_filled(case.rows)) as connection:
        found = connection.execute(f"SELECT n FROM things WHERE {where.text}", where.parameters)
        assert {n for (n,) in found} == _expected(case), (where, case.filter.condition)
        engine = sqlalchemy.create_engine("sqlite://", creator=lambda: connection)
        with engine.connect() as opened:
            assert _selected(opened, case) == _expected(case), (where, case.filter.condition)
    return case.filter.outcome


@_EXAMPLES
def test_sqlite(examples: int) -> None:
    met = _check_all(examples, _check_sqlite)
    if examples > _FEW:
        assert met["some"] > examples / 4, met
        assert met["refused"]


# -- PostgreSQL ----------------------------------------------------------------------------------

_TYPES = {
    Type.STRING: "text",
    Type.INT: "bigint",
    Type.DECIMAL: "numeric",
    Type.BOOL: "boolean",
    Type.TIME: "timestamptz",
    Type.IP: "inet",
    Type.SET_OF_STRING: "text[]",
    Type.SET_OF_INT: "bigint[]",
    Type.SET_OF_IP: "inet[]",
    Type.LIST: "jsonb",
}


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Postgres]:
    if not installed():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with Postgres(tmp_path_factory.mktemp("postgres")) as running:
        yield running


def _literal(value: object, type_: Type) -> str:
    """Return a value as a constant of PostgreSQL."""
    if value is None:
        return "NULL"
    if type_ is Type.LIST:
        return "'[]'"
    if type_ is Type.TIME:
        return f"to_timestamp({value}.5)"  # fractions are cut
    if isinstance(value, frozenset):
        element = type_.element
        assert element is not None
        listed = ", ".join(_literal(one, element) for one in sorted(value, key=str))
        return f"ARRAY[{listed}]::{_TYPES[type_]}"
    return _constant(value)


def _constant(value: object) -> str:
    if isinstance(value, bool):
        return str(value).upper()
    if isinstance(value, int | Decimal):
        return f"({value})"
    return "'{}'".format(str(value).replace("'", "''"))


class Drivers:
    """The ways to PostgreSQL: psql's `$1`, psycopg's `%s`, and SQLAlchemy's."""

    def __init__(self, database: Postgres, direct: psycopg.Connection) -> None:
        self.psql = database
        self.direct = direct
        self.engine = sqlalchemy.create_engine(
            "postgresql+psycopg://",
            creator=lambda: psycopg.connect(database.conninfo, autocommit=True),
        )


@pytest.fixture(scope="module")
def drivers(database: Postgres) -> Iterator[Drivers]:
    with psycopg.connect(database.conninfo, autocommit=True) as direct:
        made = Drivers(database, direct)
        yield made
        made.engine.dispose()


def _check_postgres(drivers: Drivers, case: Case) -> str:
    database = drivers.psql
    where = _written(case, lambda made, columns: postgres.where(made, columns, _dollar))
    if where is None:
        return "refused"
    columns = ", ".join(f'"{name}" {_TYPES[fact.type]}' for name, fact in COLUMNS.items())
    rows = [
        f"({n}, {', '.join(_literal(row.held[one], fact.type) for one, fact in COLUMNS.items())})"
        for n, row in enumerate(case.rows)
    ]
    given_ = ", ".join(map(_constant, where.parameters))
    found = database.run(
        "DROP TABLE IF EXISTS things",
        f"CREATE TABLE things (n int, {columns})",
        f"INSERT INTO things VALUES {', '.join(rows)}",
        f"PREPARE asked AS SELECT n FROM things WHERE {where.text}",
        f"EXECUTE asked({given_})" if given_ else "EXECUTE asked",
        "DEALLOCATE asked",
    )
    assert set(map(int, found)) == _expected(case), (where, case.filter.condition)
    where = _written(case, postgres.where)
    assert where is not None
    query = f"SELECT n FROM things WHERE {where.text}".encode()
    rows_ = drivers.direct.execute(query, where.parameters).fetchall()
    assert {n for (n,) in rows_} == _expected(case), (where, case.filter.condition)
    with drivers.engine.connect() as opened:
        assert _selected(opened, case) == _expected(case), (where, case.filter.condition)
    return case.filter.outcome


def _dollar(number: int) -> str:
    return f"${number + 1}"


@_EXAMPLES
def test_postgres(drivers: Drivers, examples: int) -> None:
    met = _check_all(examples, lambda case: _check_postgres(drivers, case))
    if examples > _FEW:
        assert met["some"] > examples / 4, met
