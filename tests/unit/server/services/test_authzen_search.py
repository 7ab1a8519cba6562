"""AuthZEN's searches: what is tried, what is shown, and how pages follow each other."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from policyd.config.request_limits import RequestLimits
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.model import BatchItem, BatchRequest, Decision
from policyd.json_types import Json
from policyd.language.policy import Api
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.directory.file import FileDirectory
from policyd.server.directory.model import EntityDirectory
from policyd.server.services.authzen_request import Subjects
from policyd.server.services.authzen_search import AuthzenSearch
from policyd.server.transport.web import WebRequest, WebResponse
from tests.support.deciding import ALLOWED, DENIED, Decider, KeptLog, answering, settled
from tests.support.program import policies

API = policies(
    'api docs\n\naudience "urn:docs"\n\nscope use "Use"\n\nresource doc {\n'
    "    open: bool?\n    actions read, write, share\n}\n\n"
    "allow uses: read, write, share on doc\n    when scope use\n"
).apis["docs"]
KIND = ("content-type", "application/json")
Object = dict[str, Json]
ANN: Object = {"type": "user", "id": "ann"}
READ: Object = {"name": "read"}
DOCS: list[Object] = [
    {"type": "doc", "id": str(number), "properties": {"open": number % 2 == 0}}
    for number in range(7)
]
USERS: list[Object] = [
    {"type": "user", "id": name, "properties": {"team": name}} for name in ("ann", "bob")
]
LINES = [*DOCS, *USERS]


def directory(tmp_path: Path, lines: list[Object] | None = None) -> FileDirectory:
    file = tmp_path / "entities.ndjson"
    file.write_text("".join(f"{json.dumps(one)}\n" for one in lines or LINES))
    return FileDirectory(file)


def _is_open(item: BatchItem) -> Decision:
    return ALLOWED if item.attributes.get("open") is True else DENIED


class Fixture:
    """The service over a decider and a log."""

    def __init__(self, entities: EntityDirectory, decider: Decider, items: int = 50) -> None:
        self.decider = decider
        self.log = KeptLog()

        def apis(name: str) -> Api | None:
            if isinstance(decider.outcome, NotReady):
                raise decider.outcome
            return API if name in ("docs", "urn:docs") else None

        self.service = AuthzenSearch(
            answering(decider, self.log),
            apis,
            entities,
            "docs",
            Subjects(frozenset({"docs"})),
            RequestLimits(1000, items),
        )

    def post(self, kind: str, body: Json, api: str = "") -> WebResponse:
        path = f"{api}/access/v1/search/{kind}"
        assert self.service.has(path)
        data = json.dumps(body).encode()
        request = WebRequest("POST", path, fields=(KIND,), body=data, called_by="token:pep")
        answer = settled(self.service.answer(request))
        assert isinstance(answer, WebResponse)
        return answer

    def found(self, kind: str, body: Json) -> Object:
        answer = self.post(kind, body)
        assert answer.status == 200, answer.body
        told: Object = json.loads(answer.body)
        return told

    @property
    def asked(self) -> list[BatchRequest]:
        return [one for one in self.decider.asked if isinstance(one, BatchRequest)]


@pytest.fixture
def search(tmp_path: Path) -> Fixture:
    return Fixture(directory(tmp_path), Decider(_is_open))


def test_resources(search: Fixture) -> None:
    told = search.found("resource", {"subject": ANN, "action": READ, "resource": {"type": "doc"}})
    shown = [{"type": "doc", "id": one} for one in ("0", "2", "4", "6")]
    assert told == {"page": {"next_token": "", "count": 4}, "results": shown}
    (batch,) = search.asked
    assert [one.resource_id for one in batch.items] == [str(n) for n in range(7)]
    assert len(search.log.entries) == 7


def test_a_subject_has_what_is_known_of_it(search: Fixture) -> None:
    search.found("resource", {"subject": ANN, "action": READ, "resource": {"type": "doc"}})
    assert search.asked[0].claim is not None
    assert search.asked[0].claim.claims == {"team": "ann"}  # type: ignore[union-attr]
    own: Object = {**ANN, "properties": {"team": "mine"}}
    search.found("resource", {"subject": own, "action": READ, "resource": {"type": "doc"}})
    assert search.asked[1].claim.claims == {"team": "mine"}  # type: ignore[union-attr]


def test_subjects(tmp_path: Path) -> None:
    search = Fixture(directory(tmp_path), Decider())
    body: Object = {"subject": {"type": "user"}, "action": READ, "resource": LINES[0]}
    told = search.found("subject", body)
    assert told["results"] == [{"type": "user", "id": "ann"}, {"type": "user", "id": "bob"}]
    assert [one.claim.subject for one in search.asked if one.claim] == ["ann", "bob"]
    nobody: Object = {**body, "subject": {"type": "robot"}}
    assert search.found("subject", nobody) == {
        "page": {"next_token": "", "count": 0},
        "results": [],
    }


def test_actions(tmp_path: Path) -> None:
    search = Fixture(
        directory(tmp_path), Decider(lambda item: DENIED if item.action == "share" else ALLOWED)
    )
    body: Object = {"subject": ANN, "resource": {"type": "doc", "id": "1"}}
    assert search.found("action", body)["results"] == [{"name": "read"}, {"name": "write"}]
    (batch,) = search.asked
    assert {one.attributes["open"] for one in batch.items} == {False}
    strange: Object = {**body, "resource": {"type": "boat", "id": "1"}}
    assert search.found("action", strange)["results"] == []
    other: Object = {**body, "context": {"policyd.api": "none"}}
    assert search.found("action", other)["results"] == []


def test_pages(search: Fixture) -> None:
    body: Object = {"subject": ANN, "action": READ, "resource": {"type": "doc"}}
    seen: list[Json] = []
    token, pages = "", 0
    while True:
        told = search.found("resource", {**body, "page": {"limit": 3, "token": token}})
        results, page = told["results"], told["page"]
        assert isinstance(results, list)
        assert isinstance(page, dict)
        assert page["count"] == len(results)
        seen += results
        pages += 1
        token = str(page["next_token"])
        if not token:
            break
    assert pages == 3
    assert [one["id"] for one in seen if isinstance(one, dict)] == ["0", "2", "4", "6"]


def test_a_token_is_of_one_search(search: Fixture, tmp_path: Path) -> None:
    body: Object = {"subject": ANN, "action": READ, "resource": {"type": "doc"}}
    page = search.found("resource", {**body, "page": {"limit": 2}})["page"]
    assert isinstance(page, dict)
    again: Object = {"token": page["next_token"], "limit": 5}
    assert search.found("resource", {**body, "page": again})["page"] == {
        "next_token": "",
        "count": 3,
    }
    other: Object = {**body, "action": {"name": "write"}, "page": again}
    assert search.post("resource", other).status == 400
    renewed = Fixture(directory(tmp_path, LINES[1:]), Decider(_is_open))
    assert b"the directory has changed" in renewed.post("resource", {**body, "page": again}).body


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"subject": None}, "`subject` is missing"),
        ({"subject": "ann"}, "`subject` is an object"),
        ({"resource": {}}, "`resource.type` is a text"),
        ({"resource": []}, "`resource` is an object"),
        ({"page": []}, "`page` is an object"),
        ({"page": {"limit": 0}}, "`page.limit` is a whole number from 1 on"),
        ({"page": {"limit": True}}, "`page.limit` is a whole number"),
        ({"page": {"token": "nonsense"}}, "`page.token` is none of this search"),
        ({"page": {"token": 7}}, "`page.token` is none of this search"),
    ],
)
def test_what_is_no_search(search: Fixture, change: Object, said: str) -> None:
    body: Object = {"subject": ANN, "action": READ, "resource": {"type": "doc"}, **change}
    answer = search.post("resource", {key: one for key, one in body.items() if one is not None})
    assert (answer.status, said in answer.body.decode()) == (400, True), answer.body


def test_a_page_is_bounded(tmp_path: Path) -> None:
    search = Fixture(directory(tmp_path), Decider(_is_open), items=2)
    body: Object = {"subject": ANN, "action": READ, "resource": {"type": "doc"}}
    search.found("resource", {**body, "page": {"limit": 1000}})
    assert len(search.asked[0].items) == 2


def test_what_the_directory_lacks_is_told(tmp_path: Path) -> None:
    lacking = InvalidRequest("resource.properties.open", "is missing", "ATTRIBUTE_MISSING")
    search = Fixture(directory(tmp_path), Decider(lambda _: lacking))
    told = search.found("resource", {"subject": ANN, "action": READ, "resource": {"type": "doc"}})
    assert told["results"] == []
    assert "resource.properties.open: is missing" in json.dumps(told["context"])


def test_before_policies_are_loaded(tmp_path: Path) -> None:
    search = Fixture(directory(tmp_path), Decider(NotReady()))
    with pytest.raises(CallFailed) as failed:
        search.post("action", {"subject": ANN, "resource": {"type": "doc", "id": "1"}})
    assert failed.value.code is StatusCode.UNAVAILABLE


def test_paths(search: Fixture) -> None:
    assert search.service.has("/docs/access/v1/search/action")
    assert not search.service.has("/a/b/access/v1/search/action")
    assert not search.service.has("/access/v1/search/everything")
    assert search.post("resource", {}, "/docs").status == 400
