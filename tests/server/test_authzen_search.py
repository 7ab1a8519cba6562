"""AuthZEN's searches over the real daemon, and a directory that is of no use."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from policyd.json_types import Json
from tests.server.test_authzen import ALICE, POINT, READ, RECORDS, SECRET, WRITE, evaluate
from tests.support.daemon import Daemon, Site
from tests.support.web import addresses, send

SEARCH = "/access/v1/search/"
ENTITIES: list[Json] = [
    {"type": "user", "id": "alice"},
    {"type": "user", "id": "bob"},
    {"type": "user", "id": "carol", "properties": {"role": "admin"}},
    {"type": "record", "id": "record-1", "properties": {"status": "active"}},
    {"type": "record", "id": "record-2", "properties": {"status": "archived"}},
]


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
    lines = "".join(f"{json.dumps(one)}\n" for one in ENTITIES)
    return made(tmp_path_factory.mktemp("daemon"), lines)


@pytest.fixture(scope="module")
def daemon(site: Site) -> Iterator[Daemon]:
    with site.start() as running:
        yield running


def found(daemon: Daemon, kind: str, body: dict[str, Json]) -> Json:
    told = evaluate(daemon, SEARCH + kind, body, **{"X-Request-ID": "r1"})
    assert (told.status, told.headers["x-request-id"]) == (200, "r1"), told.body
    page = told.json()["page"]
    assert isinstance(page, dict)
    assert page["next_token"] == ""
    results: Json = told.json()["results"]
    return results


def test_searches(daemon: Daemon) -> None:
    writable: dict[str, Json] = {"subject": ALICE, "action": WRITE, "resource": {"type": "record"}}
    assert found(daemon, "resource", writable) == [{"type": "record", "id": "record-1"}]
    carol: Json = {"type": "user", "id": "carol"}
    archived = found(daemon, "resource", {**writable, "subject": carol})
    assert archived == [{"type": "record", "id": "record-2"}]
    first: Json = {"type": "record", "id": "record-1"}
    readers = found(
        daemon, "subject", {"subject": {"type": "user"}, "action": READ, "resource": first}
    )
    assert readers == [{"type": "user", "id": "alice"}, {"type": "user", "id": "bob"}]
    actions = found(daemon, "action", {"subject": ALICE, "resource": first})
    assert actions == [{"name": "read"}, {"name": "write"}]


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
