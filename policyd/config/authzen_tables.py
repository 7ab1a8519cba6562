"""The table `[authzen]` of `policyd.toml`, and those in it."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta

from policyd.config.entities import COLUMN, TABLE
from policyd.config.fields import PathText, Table

_Column = Annotated[str, Meta(pattern=COLUMN, description="the name of a column")]


class EntityTable(Table, frozen=True):
    """The entities of one type, in a table or a view.

    `id` is the column of identifiers, `columns` are those of properties, by the properties' names.
    """

    table: Annotated[
        str,
        Meta(
            pattern=TABLE, description="the name of a table or a view, with its schema or without"
        ),
    ]
    id: _Column = "id"
    columns: dict[str, _Column] = {}  # noqa: RUF012 - msgspec copies it


class AuthzenDatabase(Table, frozen=True):
    """The database of the entities that searches go through: a file of SQLite, or PostgreSQL by a
    URL or keywords of libpq.

    A query takes `timeout` seconds at most. `insecure` allows a plain connection to another
    machine.
    """

    sqlite: PathText | None = None
    postgres: str | None = None
    password_file: PathText | None = None
    timeout: Annotated[float, Meta(ge=0.1, le=60)] = 2.0
    insecure: bool = False
    entities: dict[str, EntityTable] = {}  # noqa: RUF012 - msgspec copies it


class AuthzenTable(Table, frozen=True):
    """How AuthZEN's endpoints answer.

    `policy_decision_point` is their URL from outside, for the metadata. `api` is the API of
    requests that name none. `asserted` are the APIs whose subjects an enforcement point may
    assert; with `asserted_scopes`, their scopes too. `directory` is a file of the entities that
    searches go through, `database` where they are instead.
    """

    policy_decision_point: str | None = None
    api: str = ""
    directory: PathText | None = None
    database: AuthzenDatabase | None = None
    asserted: tuple[str, ...] = ()
    asserted_scopes: bool = False
