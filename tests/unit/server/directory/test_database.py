"""Directories in databases: SQLite, and a real PostgreSQL where its programs are installed."""

from __future__ import annotations

import json
import sqlite3
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from queue import Queue
from typing import TypeVar

import psycopg
import pytest

from policyd.config.conninfo import ConninfoInvalid, server_of
from policyd.config.entities import Entity, EntityTable
from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.json_types import Json
from policyd.language.types import Type
from policyd.pdp.calls import CallFailed, Deferred, StatusCode
from policyd.server.directory.database import DatabaseDirectory
from policyd.server.directory.model import (
    Declared,
    Key,
    Page,
    Types,
    Wanted,
)
from policyd.server.directory.postgres import (
    Postgres,
    PostgresSettings,
)
from policyd.server.directory.sqlite import Sqlite
from policyd.server.wire.convert_filter import filter_response
from tests.support.postgres import Postgres as Server
from tests.support.postgres import installed
from tests.support.program import FixedValidator, policies, token

API = policies(
    'api docs\n\naudience "urn:docs"\n\nresource doc {\n    owner: string? (from "/owned_by")\n'
    "    open: bool?\n    tags: set<string>?\n    origin: ip?\n"
    "    actions read, trace\n}\n\n"
    'allow opens: read on doc\n    when resource.open or resource.owner == "ann"\n\n'
    'allow traces: trace on doc\n    when resource.origin in ["10.0.0.0/8"]\n'
)
TYPES: Types = {
    "owned_by": Declared(Type.STRING, "owner"),
    "open": Declared(Type.BOOL, "open"),
    "tags": Declared(Type.SET_OF_STRING, "tags"),
    "origin": Declared(Type.IP, "origin"),
}
COLUMNS = {"owned_by": "owner_id", "open": "open", "tags": "tags", "origin": '"odd%name"'}
TABLE = EntityTable("docs", "id", COLUMNS)
NUMBERED = EntityTable("numbered", "n", {})
ROWS: Sequence[tuple[str, str | None, bool | None, list[str] | None, str | None]] = [
    ("a", "ann", False, ["x", "y"], None),
    ("b", "bob", False, None, "10.0.0.1"),
    ("B", None, True, [], "192.0.2.1"),
    ("c", "ann", None, None, None),
]
T = TypeVar("T")


def filled_sqlite(file: Path) -> None:
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(
            "CREATE TABLE docs (id TEXT PRIMARY KEY COLLATE NOCASE, owner_id TEXT, open INTEGER, "
            'tags TEXT, "odd%name" TEXT, UNIQUE (id COLLATE BINARY))'.replace(
                "PRIMARY KEY COLLATE NOCASE", "COLLATE NOCASE"
            )
        )
        connection.executemany(
            "INSERT INTO docs VALUES (?, ?, ?, ?, ?)",
            [(i, o, p, t if t is None else json.dumps(t), a) for i, o, p, t, a in ROWS],
        )
        connection.execute("CREATE TABLE numbered (n INTEGER PRIMARY KEY)")
        connection.executemany("INSERT INTO numbered VALUES (?)", [(1,), (2,), (10,)])


def fill_postgres(server: Server) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute(
            'CREATE TABLE docs (id text COLLATE "C" PRIMARY KEY, owner_id text, open boolean, '
            'tags text[], "odd%name" inet)'
        )
        with connection.cursor() as cursor:
            cursor.executemany("INSERT INTO docs VALUES (%s, %s, %s, %s, %s)", ROWS)
        connection.execute("CREATE TABLE numbered (n bigint PRIMARY KEY)")
        connection.execute("INSERT INTO numbered VALUES (1), (2), (10)")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    if not installed():
        pytest.skip("PostgreSQL is not installed: apt-get install postgresql")
    with Server(tmp_path_factory.mktemp("postgres")) as running:
        fill_postgres(running)
        yield running


Make = Callable[[Mapping[str, EntityTable]], DatabaseDirectory]


@pytest.fixture(params=["sqlite", "postgres"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Make]:
    """How a directory of these rows is made."""
    opened: list[DatabaseDirectory] = []

    def made(tables: Mapping[str, EntityTable]) -> DatabaseDirectory:
        database: Sqlite | Postgres
        if request.param == "sqlite":
            filled_sqlite(tmp_path / "d.db")
            database = Sqlite(tmp_path / "d.db", 5)
        else:
            conninfo = request.getfixturevalue("server").conninfo
            database = Postgres(PostgresSettings(conninfo, None, 5), "PostgreSQL here")
        opened.append(DatabaseDirectory(database, tables, 60))
        return opened[-1]

    yield made
    for one in opened:
        one.stop()


@pytest.fixture
def docs(make: Make) -> DatabaseDirectory:
    return make({"doc": TABLE, "number": NUMBERED})


def settled(answer: T | Deferred[T]) -> T:
    if not isinstance(answer, Deferred):
        return answer
    told: Queue[T | CallFailed] = Queue()
    answer.begin(told.put)
    found = told.get(timeout=60)
    if isinstance(found, CallFailed):
        raise found
    return found


def page(directory: DatabaseDirectory, wanted: Wanted) -> Page:
    found = settled(directory.page(wanted))
    assert isinstance(found, Page)
    return found


def names(directory: DatabaseDirectory, wanted: Wanted) -> Sequence[str]:
    return [one.id for one in page(directory, wanted).entities]


def troubles(directory: DatabaseDirectory) -> str:
    return "; ".join(directory.troubles())


def made_filter(action: str) -> bytes:
    engine = Engine(FixedValidator(token()), lambda: 1000.0)
    engine.load(API)
    return filter_response((engine.filter(Request("t", "docs", action, "doc")), "id"))


def test_entities(docs: DatabaseDirectory) -> None:
    known = settled(docs.find([Key("doc", "a", TYPES), Key("doc", "A"), Key("boat", "a")]))
    properties: dict[str, Json] = {"owned_by": "ann", "open": False, "tags": ["x", "y"]}
    assert known == [Entity("doc", "a", properties), None, None]
    assert settled(docs.find([Key("boat", "a")])) == [None]
    (one,) = settled(docs.find([Key("doc", "b", TYPES)]))
    assert one is not None
    assert str(one.properties["origin"]).startswith("10.0.0.1")


def test_numbers_are_identifiers_too(docs: DatabaseDirectory) -> None:
    assert names(docs, Wanted("number", "", 9)) == ["1", "2", "10"]
    assert names(docs, Wanted("number", "2", 9)) == ["10"]
    keys = [Key("number", one) for one in ("2", "02", "two", "3", "1e400", "2\0")]
    found = settled(docs.find(keys))
    assert [one and one.id for one in found] == ["2", None, None, None, None, None]


def test_pages_follow_the_identifier(docs: DatabaseDirectory) -> None:
    seen: list[str] = []
    after, pages = "", 0
    while after or not pages:
        found = page(docs, Wanted("doc", after, 1, TYPES))
        seen += [one.id for one in found.entities]
        after, pages = found.following, pages + 1
    assert (seen, pages) == (["B", "a", "b", "c"], 4)
    assert page(docs, Wanted("boat", "", 1)) == Page([], "")


def test_a_filter_selects_what_a_page_reads(docs: DatabaseDirectory) -> None:
    assert docs.filters("doc")
    made = made_filter("read")
    assert names(docs, Wanted("doc", "", 2, TYPES, made)) == ["B", "a"]
    assert names(docs, Wanted("doc", "a", 2, TYPES, made)) == ["c"]


def test_what_a_database_cannot_say_goes_through_all(
    docs: DatabaseDirectory, caplog: pytest.LogCaptureFixture
) -> None:
    found = names(docs, Wanted("doc", "", 9, TYPES, made_filter("trace")))
    assert found in (["b"], ["B", "a", "b", "c"])  # PostgreSQL has addresses, SQLite has none
    assert ("go through all" in caplog.text) == (found != ["b"])


def test_a_failure_is_no_empty_page(make: Make) -> None:
    directory = make({"doc": EntityTable("none", "id", {}), "number": NUMBERED})
    for ask in (
        lambda: settled(directory.page(Wanted("doc", "", 1))),
        lambda: settled(directory.find([Key("doc", "a")])),
    ):
        with pytest.raises(CallFailed, match="cannot be read now") as failed:
            ask()
        assert failed.value.code is StatusCode.UNAVAILABLE
        assert "none" not in failed.value.message
    assert names(directory, Wanted("number", "", 1)) == ["1"]
    (trouble,) = directory.troubles()
    assert "the entities in `none` cannot be read: " in trouble


def test_tables_are_looked_at_before_anybody_asks(make: Make) -> None:
    directory = make({"number": NUMBERED, "doc": EntityTable("docs", "id", {"x": "missing"})})
    directory.start()
    for _ in range(200):
        if troubles(directory):
            break
        settled(directory.find([Key("number", "1")]))  # another turn of the threads
    assert "missing" in troubles(directory)


def test_questions_are_bounded() -> None:
    free = threading.Event()

    class Slow(Sqlite):
        def rows(self, asked: object) -> Sequence[tuple[object, ...]]:
            assert free.wait(60)
            return []

    directory = DatabaseDirectory(Slow(Path("none"), 1), {"number": NUMBERED}, 60)
    told: Queue[object] = Queue()
    for _ in range(100):
        answer = directory.page(Wanted("number", "", 1))
        assert isinstance(answer, Deferred)
        answer.begin(told.put)
    refused = told.get(timeout=60)
    assert isinstance(refused, CallFailed)
    assert "too many searches" in refused.message
    free.set()
    directory.stop()


def test_an_identifier_stands_once(tmp_path: Path) -> None:
    file = tmp_path / "d.db"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute("CREATE TABLE docs (id, open)")
        connection.executemany("INSERT INTO docs VALUES (?, ?)", [("a", 1), ("a", 0), ("b", b"")])
    table = EntityTable("docs", "id", {"open": "open"})
    directory = DatabaseDirectory(Sqlite(file, 5), {"doc": table}, 60)
    for ask in (
        lambda: settled(directory.find([Key("doc", "a")])),
        lambda: settled(directory.page(Wanted("doc", "", 1))),
    ):
        with pytest.raises(CallFailed):
            ask()
        assert "has two rows with the identifier 'a'" in troubles(directory)
    with pytest.raises(CallFailed):
        settled(directory.find([Key("doc", "b")]))
    assert "`docs.open` holds a value of the type bytes" in troubles(directory)
    directory.stop()


def test_a_query_ends(tmp_path: Path) -> None:
    file = tmp_path / "d.db"
    endless = "WITH RECURSIVE r(id) AS (SELECT 1 UNION ALL SELECT id + 1 FROM r) SELECT id FROM r"
    with closing(sqlite3.connect(file)) as connection, connection:
        connection.execute(f"CREATE VIEW docs AS {endless}")
    directory = DatabaseDirectory(Sqlite(file, 0.1), {"doc": EntityTable("docs", "id", {})}, 60)
    with pytest.raises(CallFailed):
        settled(directory.page(Wanted("doc", "", 1)))
    assert "interrupted" in troubles(directory)
    directory.stop()


def test_postgres_ends_a_query_and_comes_back(server: Server) -> None:
    with psycopg.connect(server.conninfo, autocommit=True) as connection:
        connection.execute("CREATE VIEW slow AS SELECT id FROM docs, pg_sleep(600)")
        settings = PostgresSettings(server.conninfo, None, 0.2)
        tables = {"doc": EntityTable("slow", "id", {}), "number": NUMBERED}
        directory = DatabaseDirectory(Postgres(settings, "it"), tables, 60)
        with pytest.raises(CallFailed):
            settled(directory.page(Wanted("doc", "", 1)))
        assert "statement timeout" in troubles(directory)
        # Connections that the server has closed are made again.
        for _ in range(2):
            assert names(directory, Wanted("number", "", 1)) == ["1"]
            connection.execute(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE application_name = 'policyd'"
            )
        directory.stop()


def test_an_index_serves_pages(server: Server) -> None:
    with psycopg.connect(server.conninfo) as connection:
        connection.execute("SET enable_seqscan = off")
        plan = connection.execute(
            "EXPLAIN SELECT id FROM docs WHERE id > 'a' ORDER BY id LIMIT 1"
        ).fetchall()
    assert "Index Only Scan using docs_pkey" in str(plan)


@pytest.mark.parametrize(
    ("conninfo", "said"),
    [
        ("nonsense", "it is neither a URL"),
        ("postgresql://u:secret@db/x", "a password stands in it"),
        ("dbname=x", "it names no host"),
        ("postgresql://u@db.example.com/x", "is not protected"),
        ("postgresql://u@db.example.com/x?sslmode=require", "is not protected"),
    ],
)
def test_ways_that_are_refused(conninfo: str, said: str) -> None:
    with pytest.raises(ConninfoInvalid, match=said) as refused:
        server_of(conninfo, insecure=False)
    assert "secret" not in str(refused.value)


def test_ways_to_a_server() -> None:
    verified = "postgresql://u@db.example.com/x?sslmode=verify-full"
    assert server_of(verified, insecure=False) == "PostgreSQL at db.example.com"
    for near in ("host=/run/postgresql", "postgresql://u@127.0.0.1/x", "host=localhost"):
        assert server_of(near, insecure=False)
    assert server_of("host=db.example.com", insecure=True)


def test_a_password_that_cannot_be_read(tmp_path: Path) -> None:
    settings = PostgresSettings("host=/nowhere", tmp_path / "none", 1)
    directory = DatabaseDirectory(Postgres(settings, "it"), {"number": NUMBERED}, 60)
    with pytest.raises(CallFailed):
        settled(directory.page(Wanted("number", "", 1)))
    assert "No such file" in troubles(directory)
    directory.stop()


def test_a_position_that_no_column_holds(make: Make) -> None:
    directory = make({"number": NUMBERED})
    found = settled(directory.page(Wanted("number", "zwei", 1)))
    assert found is None or found.entities == []
