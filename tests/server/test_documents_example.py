"""`examples/documents`: the list shows what `Check` allows, and SQLite uses the index."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from examples.documents import app
from policyd.client import Client, Resource
from policyd.client.filters import sqlite
from tests.support.daemon import Site, access_token
from tests.support.documents import ROOT

_AUDIENCE = "https://example.com/documents-api"


@pytest.fixture(scope="module")
def client(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Client]:
    site = Site(tmp_path_factory.mktemp("documents"))
    shutil.copy(ROOT / "policies" / "documents" / "documents.policy", site.policies)
    with site.start() as daemon, Client(daemon.addresses[0]) as asked:
        yield asked


@pytest.fixture(scope="module")
def table() -> Iterator[sqlite3.Connection]:
    connection = sqlite3.connect(":memory:")
    app.create(connection, 20_000)
    yield connection
    connection.close()


def _token(**claims: object) -> str:
    groups = {"https://example.com/groups": ["group_3"]}
    given = {"aud": _AUDIENCE, "org_id": "org_7", "sub": "user_5", "scope": "read:documents"}
    return access_token(groups, **{**given, **claims})  # type: ignore[arg-type]


def test_the_list_is_what_checks_allow(client: Client, table: sqlite3.Connection) -> None:
    token = _token()
    where = sqlite.where(app.readable(client, token), app.COLUMNS)
    seen: list[str] = []
    after = ""
    while True:
        found = app.page(table, where, after, size=7)
        seen += [identifier for identifier, _ in found.documents]
        after = found.after
        if not after:
            break
    names = [name for name in app.COLUMNS if name != "id"]
    rows = table.execute(
        f"SELECT id, {', '.join(names)} FROM documents WHERE org_id IN ('org_7', 'org_8')"
    ).fetchall()
    items = []
    for identifier, *values in rows:
        held = {name: one for name, one in zip(names, values, strict=True) if one is not None}
        for name in ("shared_with", "reader_groups", "editor_groups"):
            if name in held:
                held[name] = json.loads(held[name])
        if "legal_hold" in held:
            held["legal_hold"] = bool(held["legal_hold"])
        items.append(("read", Resource("document", identifier, held)))
    answers = client.batch_check(token, items, api="documents")
    allowed = [one.id for (_, one), answer in zip(items, answers, strict=True) if answer.allowed]
    assert seen == sorted(allowed)
    assert 0 < len(seen) < len(items)


def test_the_index_is_used(client: Client, table: sqlite3.Connection) -> None:
    where = sqlite.where(app.readable(client, _token()), app.COLUMNS)
    assert any(
        "USING INDEX documents_by_organisation (org_id=? AND id>?)" in line
        for line in app.plan(table, where)
    )


def test_who_may_read_nothing_sees_nothing(client: Client, table: sqlite3.Connection) -> None:
    made = app.readable(client, _token(scope=""))
    assert (made.outcome, made.answer.reason) == ("none", "NO_RULE_ALLOWS")
    assert app.page(table, sqlite.where(made, app.COLUMNS)).documents == []


def test_it_is_a_program(client: Client, tmp_path: Path, capsys: pytest.CaptureFixture[str],
                         monkeypatch: pytest.MonkeyPatch) -> None:  # fmt: skip
    (tmp_path / "token").write_text(_token())
    database = str(tmp_path / "documents.db")
    given = ["app", "--token", str(tmp_path / "token"), "--rows", "2000", "--database", database]
    monkeypatch.setattr("sys.argv", [*given, "--daemon", client.target])
    app.main()
    assert "outcome: some (UNDECIDED)" in capsys.readouterr().out
