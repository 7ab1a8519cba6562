"""Which documents may I see: a page of a list, of rows that the policy lets through.

The rows are in SQLite, the policy is `policies/documents`, and the daemon says what of it is left
for one token as a condition of the query. No rule is written a second time here.

    python examples/documents/app.py --token access.jwt --rows 1000000

It makes the table where there is none, prints the query, how SQLite finds its rows, and a page.
"""

from __future__ import annotations

import argparse
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from policyd_client import Client, Filter
from policyd_client.filters import Where, sqlite

#: The attributes of the policy's `document`, and the columns that hold them.
COLUMNS = {
    "id": "d.id",
    "org_id": "d.org_id",
    "owner": "d.owner",
    "visibility": "d.visibility",
    "shared_with": "d.shared_with",
    "reader_groups": "d.reader_groups",
    "editor_groups": "d.editor_groups",
    "legal_hold": "d.legal_hold",
}
_TABLE = """
CREATE TABLE documents (
    id            TEXT PRIMARY KEY,
    org_id        TEXT NOT NULL,
    owner         TEXT NOT NULL,
    title         TEXT NOT NULL,
    visibility    TEXT CHECK (visibility IN ('private', 'organisation')),
    shared_with   TEXT CHECK (shared_with IS NULL OR json_valid(shared_with)),
    reader_groups TEXT CHECK (reader_groups IS NULL OR json_valid(reader_groups)),
    editor_groups TEXT CHECK (editor_groups IS NULL OR json_valid(editor_groups)),
    legal_hold    INTEGER CHECK (legal_hold IN (0, 1))
) WITHOUT ROWID;
CREATE INDEX documents_by_organisation ON documents (org_id, id);
"""
_ORGANISATIONS, _PEOPLE, _GROUPS = 500, 40, 8


class Page(NamedTuple):
    """Documents, by identifier; `after` is where the next page begins, empty at the end."""

    documents: list[tuple[str, str]]
    after: str


def create(connection: sqlite3.Connection, rows: int) -> None:
    """Make the table, with documents of many organisations."""
    connection.executescript(_TABLE)
    places = ", ".join("?" for _ in range(9))
    connection.executemany(f"INSERT INTO documents VALUES ({places})", _documents(rows))
    connection.execute("ANALYZE")
    connection.commit()


def _documents(rows: int) -> Iterator[tuple[object, ...]]:
    for n in range(rows):
        organisation, person = f"org_{n % _ORGANISATIONS}", n // _ORGANISATIONS % _PEOPLE
        group = f"group_{n // 7 % _GROUPS}"
        yield (
            f"doc-{n:08}",
            organisation,
            f"user_{person}",
            f"Document {n}",
            (None, "private", "private", "organisation")[n // 3 % 4],
            json.dumps([f"user_{(person + 1) % _PEOPLE}"]) if n % 5 == 0 else None,
            json.dumps([group]) if n % 4 == 0 else None,
            json.dumps([group, "editors"]) if n % 9 == 0 else None,
            1 if n % 50 == 0 else None,
        )


def readable(client: Client, token: str) -> Filter:
    """Ask which documents the token's bearer may read. Raises `AuthorizationFailed`."""
    return client.filter(token, action="read", resource_type="document", api="documents")


def page(connection: sqlite3.Connection, where: Where, after: str = "", size: int = 20) -> Page:
    """Return a page of what the condition lets through, by identifier."""
    found = connection.execute(_query(where), (*where.parameters, after, size)).fetchall()
    return Page(found, found[-1][0] if len(found) == size else "")


def plan(connection: sqlite3.Connection, where: Where) -> list[str]:
    """Return how SQLite finds the rows of a page."""
    asked = f"EXPLAIN QUERY PLAN {_query(where)}"
    return [row[3] for row in connection.execute(asked, (*where.parameters, "", 20))]


def _query(where: Where) -> str:
    return (
        f"SELECT d.id, d.title FROM documents d WHERE {where.text} "
        "AND d.id > ? ORDER BY d.id LIMIT ?"
    )


def main() -> None:
    """Show a page."""
    options = argparse.ArgumentParser(description="Which documents may I see?")
    options.add_argument("--token", type=Path, required=True, help="a file with an access token")
    options.add_argument("--daemon", default="127.0.0.1:8181")
    options.add_argument("--database", type=Path, default=Path("documents.db"))
    options.add_argument("--rows", type=int, default=100_000, help="of the table, if it is made")
    given = options.parse_args()
    is_new = not given.database.exists()
    connection = sqlite3.connect(given.database)
    if is_new:
        create(connection, given.rows)
    with Client(given.daemon) as client:
        made = readable(client, given.token.read_text().strip())
    where = sqlite.where(made, COLUMNS)
    print(f"outcome: {made.outcome} ({made.answer.reason})")
    print(f"query: {_query(where)}")
    print(f"parameters: {where.parameters}")
    for line in plan(connection, where):
        print(f"plan: {line}")
    began = time.perf_counter()
    found = page(connection, where)
    print(f"{len(found.documents)} documents in {(time.perf_counter() - began) * 1000:.1f} ms:")
    for identifier, title in found.documents:
        print(f"  {identifier}  {title}")


if __name__ == "__main__":
    main()
