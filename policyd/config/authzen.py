"""The table `[authzen]`, judged: who may say who a subject is, the URL of the endpoints, and where
the entities of searches are."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import msgspec

from policyd.config.apis import is_resource
from policyd.config.entities import EntitiesInvalid, read_entities
from policyd.config.findings import Findings
from policyd.config.listeners import AUTHZEN, Listener, is_socket
from policyd.config.tables import AuthzenDatabase, AuthzenTable
from policyd.regular_file import open_regular


def read_authzen(
    table: AuthzenTable, listeners: Iterable[Listener], base: Path, findings: Findings
) -> AuthzenTable:
    """Check the table against the listeners that it is about; return it with whole paths."""
    if table.directory is not None:
        table = msgspec.structs.replace(table, directory=str(base / table.directory))
    if table.database is not None:
        _check_database(table, table.database, findings)
        table = msgspec.structs.replace(table, database=_with_paths(table.database, base))
    url = table.policy_decision_point
    if url is not None and not is_resource(url):
        findings.add(
            "P5004",
            ("authzen", "policy_decision_point"),
            f"`{url}` is no URL of a decision point",
            "write an https URL without query or fragment",
        )
    if not table.asserted:
        return table
    for listener in listeners:
        known = listener.authenticates or is_socket(listener) or listener.insecure
        if AUTHZEN in listener.services and not known:
            findings.add(
                "P5004",
                ("authzen", "asserted"),
                f"anyone who can reach `{listener.address}` could claim to be any subject",
                "have its callers show a certificate or a secret, listen on a Unix socket, or set "
                "`insecure = true` where nobody else reaches it",
            )
    return table


def _with_paths(database: AuthzenDatabase, base: Path) -> AuthzenDatabase:
    def path(name: str | None) -> str | None:
        return None if name is None else str(base / name)

    return msgspec.structs.replace(
        database, sqlite=path(database.sqlite), password_file=path(database.password_file)
    )


def _check_database(table: AuthzenTable, database: AuthzenDatabase, findings: Findings) -> None:
    def complain(code: str, headline: str, help_: str, *key: str) -> None:
        findings.add(code, ("authzen", "database", *key), headline, help_)

    if table.directory is not None:
        complain(
            "P5004",
            "searches go through the entities of a file or of a database",
            "remove `directory`, or the table `[authzen.database]`",
        )
    if (database.sqlite is None) == (database.postgres is None):
        complain(
            "P5003",
            "`authzen.database` names no database, or two",
            'add `sqlite = "FILE"` or `postgres = "postgresql://USER@HOST/DATABASE"`',
        )
    if not database.entities:
        complain(
            "P5003",
            "`authzen.database` has no entities",
            "add a table `[authzen.database.entities.TYPE]` for each type of subjects and "
            "resources",
        )
    if database.password_file is not None and database.postgres is None:
        complain("P5004", "a file of SQLite has no password", "remove it", "password_file")
    if database.postgres is None:
        return
    try:
        from policyd.config.conninfo import ConninfoInvalid, server_of
    except ImportError as error:
        said = f"PostgreSQL needs the library `{error.name}`"
        complain("P5004", said, "install `policyd[postgres]`", "postgres")
        return
    try:
        server_of(database.postgres, insecure=database.insecure)
    except ConninfoInvalid as error:
        complain("P5004", f"`postgres`: {error.problem}", error.help, "postgres")


def check_entities(table: AuthzenTable, findings: Findings) -> None:
    """Check that the file of entities can be used, and those of a database can be read."""
    if table.directory is not None:
        try:
            read_entities(Path(table.directory))
        except EntitiesInvalid as error:
            findings.add("P5008", ("authzen", "directory"), f"`directory`: {error}")
    if table.database is None:
        return
    for name in ("sqlite", "password_file"):
        path = getattr(table.database, name)
        if path is not None:
            try:
                open_regular(Path(path)).close()
            except OSError as error:
                said = f"`{name}`: `{path}`: {error.strerror}"
                findings.add("P5008", ("authzen", "database", name), said)
