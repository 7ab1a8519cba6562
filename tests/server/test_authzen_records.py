"""AuthZEN's interoperability scenario of searches, over directories in SQLite and PostgreSQL.

Six users and twenty records; who may view, edit and delete which. The scenario has the same answer
three times: by user, by record, and by both.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Mapping
from contextlib import closing
from pathlib import Path

import psycopg
import pytest

from policyd.json_types import Json
from tests.server.test_authzen import SECRET, evaluate
from tests.server.test_authzen_search import SEARCH
from tests.support.daemon import Daemon, Site
from tests.support.postgres import Postgres, installed
from tests.support.redis import until
from tests.support.web import addresses, send

POLICY = """\
api records

audience "https://example.com/records"

claim role:       string?
claim department: string?

resource record {
    department: string
    owner:      string
    actions view, edit, delete
}

define own       as token.subject == resource.owner
define colleague as token.department == resource.department
define manager   as token.role == "manager"

allow views: view on record
    when own or colleague or manager

allow edits: edit on record
    when own or (manager and colleague)

allow deletes: delete on record
    when own
"""
USERS = [
    ("alice", "manager", "Sales"),
    ("bob", "employee", "Legal"),
    ("carol", "contractor", "Legal"),
    ("dan", "manager", "Finance"),
    ("erin", "employee", "Finance"),
    ("felix", "contractor", "Accounting"),
]
_DEPARTMENTS = {"L": "Legal", "A": "Accounting", "S": "Sales", "F": "Finance"}
#: The records from 101 on belong to these users in turn, but for 113 on, who begin anew.
_OWNERS = ["alice", "bob", "carol", "dan", "erin", "felix"] * 2
RECORDS = [
    (101 + number, _DEPARTMENTS[letter], (_OWNERS + _OWNERS)[number])
    for number, letter in enumerate("LLLALASLASALSAFLLALA")
]
ALL = frozenset(range(101, 121))
#: What the scenario expects of searches of resources: to view, to edit, to delete.
EXPECTED: Mapping[str, tuple[frozenset[int], frozenset[int], frozenset[int]]] = {
    "alice": (ALL, frozenset({101, 107, 110, 113, 119}), frozenset({101, 107, 113, 119})),
    "bob": (
        frozenset({101, 102, 103, 105, 108, 112, 114, 116, 117, 119, 120}),
        frozenset({102, 108, 114, 120}),
        frozenset({102, 108, 114, 120}),
    ),
    "carol": (
        frozenset({101, 102, 103, 105, 108, 109, 112, 115, 116, 117, 119}),
        frozenset({103, 109, 115}),
        frozenset({103, 109, 115}),
    ),
    "dan": (ALL, frozenset({104, 110, 115, 116}), frozenset({104, 110, 116})),
    "erin": (
        frozenset({105, 111, 115, 117}),
        frozenset({105, 111, 117}),
        frozenset({105, 111, 117}),
    ),
    "felix": (
        frozenset({104, 106, 109, 111, 112, 114, 118, 120}),
        frozenset({106, 112, 118}),
        frozenset({106, 112, 118}),
    ),
}
ACTIONS = ("view", "edit", "delete")
_TABLES = (
    "CREATE TABLE users (name text PRIMARY KEY, role text, department text)",
    "CREATE TABLE records (id integer PRIMARY KEY, department text, owner text)",
)


def made(folder: Path, database: str) -> Site:
    site = Site(folder)
    (site.policies / "records.policy").write_text(POLICY)
    (site.folder / "pep").write_text(f"{SECRET}\n")
    site.listen(
        'address = "127.0.0.1:0"\nservices = ["authzen", "pages"]\ntoken_file = "pep"',
        further=f"""\
[authzen]
api = "records"
asserted = ["records"]
[authzen.database]
{database}
[authzen.database.entities.user]
table = "users"
id = "name"
columns = {{ role = "role", department = "department" }}
[authzen.database.entities.record]
table = "records"
columns = {{ department = "department", owner = "owner" }}""",
    )
    text = (site.folder / "policyd.toml").read_text()
    (site.folder / "policyd.toml").write_text(f'{text}apis = ["health"]\n')
    return site


def fill_sqlite(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        for table in _TABLES:
            connection.execute(table)
        connection.executemany("INSERT INTO users VALUES (?, ?, ?)", USERS)
        connection.executemany("INSERT INTO records VALUES (?, ?, ?)", RECORDS)


@pytest.fixture(scope="module", params=["sqlite", "postgres"])
def daemon(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Daemon]:
    folder = tmp_path_factory.mktemp("daemon")
    if request.param == "sqlite":
        fill_sqlite(folder / "records.db")
        with made(folder, 'sqlite = "records.db"').start() as running:
            yield running
        return
    if not installed():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with Postgres(folder) as server:
        with psycopg.connect(server.conninfo) as connection, connection.cursor() as cursor:
            for table in _TABLES:
                cursor.execute(table.encode())
            cursor.executemany("INSERT INTO users VALUES (%s, %s, %s)", USERS)
            cursor.executemany("INSERT INTO records VALUES (%s, %s, %s)", RECORDS)
        with made(folder, f'postgres = "{server.conninfo}"').start() as running:
            yield running


def found(daemon: Daemon, kind: str, body: dict[str, Json], name: str = "id") -> list[Json]:
    """Return what a search finds, by pages of seven."""
    seen: list[Json] = []
    token: Json = ""
    while True:
        told = evaluate(daemon, SEARCH + kind, {**body, "page": {"limit": 7, "token": token}})
        assert told.status == 200, told.body
        results, page = told.json()["results"], told.json()["page"]
        assert isinstance(results, list)
        assert isinstance(page, dict)
        assert "context" not in told.json()
        seen += [one[name] for one in results if isinstance(one, dict)]
        token = page["next_token"]
        if not token:
            return seen


@pytest.mark.parametrize("user", EXPECTED)
def test_resources(daemon: Daemon, user: str) -> None:
    for action, expected in zip(ACTIONS, EXPECTED[user], strict=True):
        body: dict[str, Json] = {
            "subject": {"type": "user", "id": user},
            "action": {"name": action},
            "resource": {"type": "record"},
        }
        assert found(daemon, "resource", body) == [str(one) for one in sorted(expected)]


def test_subjects(daemon: Daemon) -> None:
    for record in sorted(ALL):
        for number, action in enumerate(ACTIONS):
            body: dict[str, Json] = {
                "subject": {"type": "user"},
                "action": {"name": action},
                "resource": {"type": "record", "id": str(record)},
            }
            expected = [user for user in EXPECTED if record in EXPECTED[user][number]]
            assert found(daemon, "subject", body) == expected, (record, action)


def test_actions(daemon: Daemon) -> None:
    for user, by_action in EXPECTED.items():
        for record in sorted(ALL):
            body: dict[str, Json] = {
                "subject": {"type": "user", "id": user},
                "resource": {"type": "record", "id": str(record)},
            }
            told = found(daemon, "action", body, "name")
            allowed = {one for one, ids in zip(ACTIONS, by_action, strict=True) if record in ids}
            assert set(map(str, told)) == allowed, (user, record)


def test_a_page_reads_what_it_needs(daemon: Daemon) -> None:
    """A page of results is full, though most records between them are nobody's business."""
    body: Json = {
        "subject": {"type": "user", "id": "carol"},
        "action": {"name": "edit"},
        "resource": {"type": "record"},
        "page": {"limit": 2},
    }
    told = evaluate(daemon, f"{SEARCH}resource", body).json()
    assert [one["id"] for one in told["results"] if isinstance(one, dict)] == ["103", "109"]  # type: ignore[union-attr]


def test_a_database_that_fails_is_an_error(tmp_path: Path) -> None:
    site = made(tmp_path, 'sqlite = "records.db"')
    (site.folder / "records.db").touch()
    body: Json = {
        "subject": {"type": "user", "id": "alice", "properties": {"role": "manager"}},
        "action": {"name": "view"},
        "resource": {"type": "record"},
    }
    with site.start() as running:
        told = evaluate(running, f"{SEARCH}resource", body, **{"X-Request-ID": "r9"})
        assert (told.status, told.headers["x-request-id"]) == (503, "r9")
        assert b"the directory of entities cannot be read now" in told.body
        ready = send(addresses(running)[0], "GET", "/readyz").body
        assert b"the entities in `records` cannot be read" in ready
        fill_sqlite(site.folder / "records.db")
        until(
            lambda: evaluate(running, f"{SEARCH}resource", body).status == 200,
            "the database is not read again",
        )


@pytest.mark.parametrize(
    ("database", "said"),
    [
        ("", "names no database, or two"),
        ('sqlite = "a"\npostgres = "host=/run"', "names no database, or two"),
        ('postgres = "postgresql://u:p@h/d"', "a password stands in it"),
        ('postgres = "postgresql://u@db.example.com/d"', "is not protected"),
        ('sqlite = "a"\npassword_file = "b"', "has no password"),
    ],
)
def test_configurations_that_are_refused(tmp_path: Path, database: str, said: str) -> None:
    done = made(tmp_path, database).run()
    assert done.returncode == 2
    assert said in done.stderr + done.stdout
