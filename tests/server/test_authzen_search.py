"""AuthZEN's searches over the real daemon, and a directory that is of no use."""

from __future__ import annotations

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.json_types import Json
from tests.server.test_authzen import ALICE, POINT, READ, RECORDS, SECRET, WRITE, evaluate
from tests.support.daemon import Daemon, Site
from tests.support.redis import until
from tests.support.web import addresses, send

SEARCH = "/access/v1/search/"
ENTITIES: list[Json] = [
    {"type": "user", "id": "alice"},
    {"type": "user", "id": "bob", "properties": {"role": "admin"}},
    {"type": "record", "id": "record-1", "properties": {"status": "active"}},
    {"type": "record", "id": "record-2", "properties": {"status": "archived"}},
]


def lines(entities: list[Json]) -> str:
    return "".join(f"{json.dumps(one)}\n" for one in entities)


def made(folder: Path, entities: str) -> Site:
    site = Site(folder)
    (site.policies / "records.policy").write_text(RECORDS)
    (site.folder / "pep").write_text(f"{SECRET}\n")
    (site.folder / "entities.ndjson").write_text(entities)
    site.listen(
        'address = "127.0.0.1:0"\nservices = ["authzen", "pages"]\ntoken_file = "pep"',
        further=f'[authzen]\npolicy_decision_point = "{POINT}"\napi = "records"\n'
        'asserted = ["records"]\ndirectory = "entities.ndjson"',
    )
    text = (site.folder / "policyd.toml").read_text()
    (site.folder / "policyd.toml").write_text(f'{text}apis = ["health"]\n')
    return site


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    return made(tmp_path_factory.mktemp("daemon"), lines(ENTITIES))


@pytest.fixture(scope="module")
def daemon(site: Site) -> Iterator[Daemon]:
    with site.start() as running:
        yield running


def search(daemon: Daemon, kind: str, body: dict[str, Json]) -> dict[str, Json]:
    told = evaluate(daemon, SEARCH + kind, body, **{"X-Request-ID": "r1"})
    assert (told.status, told.headers["x-request-id"]) == (200, "r1"), told.body
    found: dict[str, Json] = told.json()
    return found


def users(*names: str) -> Json:
    return [{"type": "user", "id": name} for name in names]


USERS: Json = {"type": "user"}
BOB: dict[str, Json] = {"type": "user", "id": "bob"}
ADMIN: Json = {**BOB, "properties": {"role": "admin"}}
NOBODY: Json = {"type": "user", "id": "nonexistent-user"}
RECORD: Json = {"type": "record", "id": "record-1"}
ARCHIVED: Json = {"type": "record", "id": "record-2", "properties": {"status": "archived"}}
ANY: Json = {"type": "record"}
NUMBERED: Json = {"type": "record", "id": 1}


@pytest.mark.parametrize(
    ("kind", "body", "expected"),
    [
        # Of the certification scenario, levels Search Core and Search Properties, section 4.
        (
            "subject",
            {"subject": USERS, "action": READ, "resource": RECORD},
            users("alice", "bob"),
        ),  # 4.2.1
        (
            "subject",
            {"subject": USERS, "action": READ, "resource": RECORD, "context": {"a": 1}},
            users("alice", "bob"),
        ),  # 4.2.2
        (
            "subject",
            {"subject": USERS, "action": WRITE, "resource": ARCHIVED},
            users("bob"),
        ),  # 4.2.4
        (
            "resource",
            {"subject": ALICE, "action": READ, "resource": ANY},
            [RECORD, {"type": "record", "id": "record-2"}],
        ),  # 4.3.1
        (
            "resource",
            {"subject": ADMIN, "action": WRITE, "resource": ANY},
            [{"type": "record", "id": "record-2"}],
        ),  # 4.3.3
        (
            "resource",
            {"subject": BOB, "action": WRITE, "resource": ANY},
            [{"type": "record", "id": "record-2"}],
        ),  # the same, with what the directory knows of bob
        ("resource", {"subject": ALICE, "action": WRITE, "resource": ANY}, [RECORD]),
        (
            "action",
            {"subject": ALICE, "resource": RECORD, "context": {"a": 1}},
            [{"name": "read"}, {"name": "write"}],
        ),  # 4.4.1, 4.4.2
        (
            "action",
            {"subject": ADMIN, "resource": ARCHIVED},
            [{"name": "read"}, {"name": "write"}],
        ),  # 4.4.3
        ("action", {"subject": NOBODY, "resource": RECORD}, []),  # 4.6.1
        (
            "subject",
            {"subject": {"type": "spaceship"}, "action": READ, "resource": RECORD},
            [],
        ),  # 4.6.2
        (
            "resource",
            {"subject": ALICE, "action": READ, "resource": {"type": "spaceship"}},
            [],
        ),
        ("action", {"subject": ALICE, "resource": {"type": "spaceship", "id": "1"}}, []),
    ],
)
def test_searches(daemon: Daemon, kind: str, body: dict[str, Json], expected: Json) -> None:
    told = search(daemon, kind, body)
    assert isinstance(expected, list)
    assert told["results"] == expected
    assert told["page"] == {"next_token": "", "count": len(expected)}


def test_pages(daemon: Daemon) -> None:
    body: dict[str, Json] = {"subject": USERS, "action": READ, "resource": RECORD}
    first = search(daemon, "subject", {**body, "page": {"limit": 1}})  # 4.5.1
    assert first["results"] == users("alice")
    assert isinstance(first["page"], dict)
    token = first["page"]["next_token"]
    assert token
    assert isinstance(token, str)
    second = search(daemon, "subject", {**body, "page": {"token": token}})  # 4.5.2
    assert second["results"] == users("bob")
    assert second["page"] == {"next_token": "", "count": 1}


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("subject", {"subject": USERS, "resource": RECORD}),  # 4.7.1
        ("resource", {"action": READ, "resource": ANY}),
        ("action", {"subject": ALICE}),
        ("subject", {"subject": USERS, "action": READ, "resource": ANY}),  # 4.7.2
        ("resource", {"subject": USERS, "action": READ, "resource": ANY}),
        ("resource", {"subject": ALICE, "action": {}, "resource": ANY}),
        ("action", {"subject": ALICE, "resource": NUMBERED}),
    ],
)
def test_what_is_no_search(daemon: Daemon, kind: str, body: Json) -> None:
    assert evaluate(daemon, SEARCH + kind, body).status == 400


def test_the_metadata_names_them(daemon: Daemon) -> None:
    told = send(addresses(daemon)[0], "GET", "/.well-known/authzen-configuration/records").json()
    for kind in ("subject", "resource", "action"):
        assert told[f"search_{kind}_endpoint"] == f"{POINT}/records{SEARCH}{kind}"


def test_an_enforcement_point_shows_who_it_is(daemon: Daemon) -> None:
    body: Json = {"subject": ALICE, "resource": {"type": "record", "id": "record-1"}}
    assert send(addresses(daemon)[0], "POST", f"{SEARCH}action", body).status == 401


def test_a_directory_that_is_of_no_use(tmp_path: Path) -> None:
    done = made(tmp_path, '{"type": "record"}\n').run()
    assert done.returncode == 2
    assert "line 1: Object missing required field `id`" in done.stderr + done.stdout


def test_a_directory_follows_its_file(tmp_path: Path) -> None:
    site = made(tmp_path, lines(ENTITIES[:1]))
    body: dict[str, Json] = {"subject": USERS, "action": READ, "resource": RECORD}
    with site.start() as running:
        assert search(running, "subject", body)["results"] == users("alice")
        file = site.folder / "entities.ndjson"
        file.write_text(lines(ENTITIES))
        until(
            lambda: search(running, "subject", body)["results"] == users("alice", "bob"),
            "the changed file was not read",
        )
        file.write_text("{")
        running.process.send_signal(signal.SIGHUP)
        until(
            lambda: (
                b"the last good ones go on" in send(addresses(running)[0], "GET", "/readyz").body
            ),
            "the trouble is not told",
        )
        assert search(running, "subject", body)["results"] == users("alice", "bob")
