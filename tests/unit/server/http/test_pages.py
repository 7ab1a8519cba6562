"""The pages of a daemon in whatever state it is."""

from __future__ import annotations

import json
from http import HTTPStatus
from pathlib import Path

import pytest

from policyd.config.apis import ApiSettings
from policyd.json_types import Json
from policyd.pdp.metadata import Metadata
from policyd.server.http import listener
from policyd.server.http.listener import make_pages
from policyd.server.http.pages import Pages
from policyd.server.http.server import Request, Response, plain
from policyd.sources.policies import DirectorySettings, DirectorySource
from policyd.sources.revocations import RevocationSources
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.revocation.revocation_list import RevocationFigures
from tests.support.state import NoKeys, Rig, StaleSources
from tests.support.tokens import key_set

WELL_KNOWN = "/.well-known/oauth-protected-resource"


def pages(rig: Rig) -> Pages:
    return Pages(rig.state, Metadata({}), lambda: plain(HTTPStatus.OK))


def ready(rig: Rig) -> tuple[int, dict[str, Json]]:
    response = pages(rig).answer(Request("/readyz"))
    document: dict[str, Json] = json.loads(response.body)
    assert ("Cache-Control", "no-store") in response.headers
    return response.status, document


def test_alive_in_every_state() -> None:
    assert pages(Rig(NoKeys())).answer(Request("/healthz")).status is HTTPStatus.OK


def test_not_ready_while_it_starts() -> None:
    assert ready(Rig()) == (
        503,
        {
            "ready": False,
            "reasons": ["the daemon is starting"],
            "troubles": [],
            "revision": None,
        },
    )


def test_ready_once_it_serves() -> None:
    rig = Rig()
    rig.policies.load()
    rig.health.become(serving=True)
    status, document = ready(rig)
    assert rig.state.revision is not None
    assert (status, document["reasons"], document["troubles"]) == (200, [], [])
    assert document["revision"] == rig.state.revision


def test_tells_of_troubles_that_do_not_end_service() -> None:
    rig = Rig(NoKeys(), StaleSources())
    rig.health.become(serving=True)
    status, document = ready(rig)
    troubles = document["troubles"]
    assert status == 200
    assert isinstance(troubles, list)
    assert len(troubles) == 2
    assert "keys of https://my-domain.auth0.com/" in str(troubles[0])
    assert "revocation list (file)" in str(troubles[1])


def test_tells_what_is_wrong_with_keys() -> None:
    missing = "'/keys/jwks.json' cannot be read: No such file or directory"
    _, document = ready(Rig(NoKeys(missing)))
    assert document["troubles"] == [
        f"the keys of https://my-domain.auth0.com/ could not be loaded: {missing}"
    ]

    class Stale(FixedKeys):
        problem = "the network is down"

    _, document = ready(Rig(Stale(key_set())))
    assert document["troubles"] == [
        "the keys of https://my-domain.auth0.com/ could not be read again: the network is down"
    ]


def test_tells_that_nobody_knows_whether_policies_changed(tmp_path: Path) -> None:
    root = tmp_path / "policies"
    root.mkdir()
    (root / "a.policy").write_text('api a\n\naudience "a"\n')
    rig = Rig(source=DirectorySource(root, DirectorySettings(settle=0)))
    rig.policies.load()
    rig.health.become(serving=True)
    assert ready(rig)[1]["troubles"] == []
    root.rename(tmp_path / "away")
    rig.policies.look()
    assert ready(rig)[1]["troubles"] == [
        f"the newest policies are not in service: {root}: No such file or directory",
        f"cannot tell whether the policies changed: {root}: No such file or directory",
    ]
    assert rig.figures()["policyd_policy_failed_looks_total"] == 1
    (tmp_path / "away").rename(root)
    rig.policies.look()
    assert ready(rig)[1]["troubles"] == []
    assert rig.figures()["policyd_policy_last_look_timestamp_seconds"] > 0


def test_tells_of_a_revocation_list_that_cannot_be_read_before_it_is_stale() -> None:
    class Failing(RevocationSources):
        def figures(self) -> dict[str, RevocationFigures]:
            problem = "list.ndjson:3: this is no revocation"
            return {"file": RevocationFigures({}, True, False, 1.5, problem)}

    rig = Rig(revocations=Failing({}))
    rig.health.become(serving=True)
    assert ready(rig)[1]["troubles"] == [
        "the revocation list (file) cannot be read: list.ndjson:3: this is no revocation"
    ]


def test_metadata_needs_policies() -> None:
    rig = Rig()
    request = Request(f"{WELL_KNOWN}/health-api")
    assert pages(rig).answer(request).status is HTTPStatus.NOT_FOUND
    rig.policies.load()
    response = pages(rig).answer(request)
    assert response.status is HTTPStatus.OK
    assert ("Access-Control-Allow-Origin", "*") in response.headers


@pytest.mark.parametrize("host", ["", "example.com", "gateway.internal"])
def test_metadata_of_a_sole_api_is_found_whatever_the_host(host: str) -> None:
    rig = Rig()
    rig.policies.load()
    told = Metadata({"health": ApiSettings(resource="https://example.com/")})
    found = Pages(rig.state, told, lambda: plain(HTTPStatus.OK)).answer(Request(WELL_KNOWN, host))
    assert json.loads(found.body)["resource"] == "https://example.com/"


def test_metrics_are_whatever_makes_them() -> None:
    made = Response(HTTPStatus.OK, "text/plain", b"figures")
    answer = Pages(Rig().state, Metadata({}), lambda: made).answer
    assert answer(Request("/metrics")) is made
    assert answer(Request("/metrics/")).status is HTTPStatus.NOT_FOUND


def test_figures_are_made_once_for_all_who_ask_within_a_moment(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    now = 100.0
    monkeypatch.setattr(listener, "monotonic", lambda: now)
    rig = Rig()
    asked = make_pages(rig.state, Metadata({}))
    first = asked.answer(Request("/metrics"))
    assert asked.answer(Request("/metrics")) is first
    rig.health.become(serving=True)
    now += 0.2
    assert b"policyd_serving 1.0" in asked.answer(Request("/metrics")).body
    assert b"policyd_serving 0.0" in first.body
