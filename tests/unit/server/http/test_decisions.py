"""Listeners over HTTP: which services each has, who may ask them, and what they bear."""

from __future__ import annotations

import json
from collections.abc import Iterable
from contextlib import ExitStack
from http import HTTPStatus
from pathlib import Path

import msgspec
import pytest

from policyd.config.addresses import TcpAddress, UnixAddress
from policyd.config.configuration import Configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.config.listeners import (
    AUTHORIZATION,
    AUTHZEN,
    CONNECT,
    EXPLANATION,
    FORWARD_AUTH,
    PAGES,
    Listener,
)
from policyd.config.tls_files import TlsFiles
from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.http import decisions
from policyd.server.http.decisions import Answers, open_decisions, web_limits
from policyd.server.http.server import Request, Response, plain
from policyd.server.http.site import Site
from policyd.server.transport.interface import BindFailed, Unary
from policyd.server.transport.web import WebRequest, WebResponse
from policyd.tokens.model import SubjectKind
from tests.support.certificates import Authority
from tests.support.deciding import Decider, KeptLog, answering
from tests.support.program import policies
from tests.support.state import Rig
from tests.unit.config.test_configuration import configured, server

CHECK = "/policyd.v1.AuthorizationService/Check"
EXPLAIN = "/policyd.v1.ExplanationService/Explain"
ASKS = "/access/v1/evaluation"
WELL_KNOWN = "/.well-known/authzen-configuration"
SECRET = "a-secret-of-some-length"
KIND = ("content-type", "application/json")
POLICY = """\
api orders
audience "https://example.com/orders"
resource order {
    actions read
}
route GET "/orders/{id}" as read on order
allow reads: read on order
    when token.client == "a"
"""
SETTINGS = """
default_api = "general"
max_message_bytes = 100000
max_connections = 40
max_unfinished_bytes = 3000000
receive_timeout = 3
send_timeout = 4
handshake_timeout = 6
max_connection_idle = 700
max_values = 50
max_batch_items = 3

[authzen]
policy_decision_point = "https://pdp.example.com"
asserted = ["orders"]
asserted_scopes = true
"""


class FewPages:
    """Pages that say what they were asked."""

    def answer(self, request: Request) -> Response:
        if request.path not in ("/healthz", "/readyz"):
            return plain(HTTPStatus.NOT_FOUND)
        return Response(
            HTTPStatus.CREATED, "text/x", f"{request.path} {request.host}".encode(), (("A", "b"),)
        )


class Fixture:
    """What listeners offer, over a decider."""

    def __init__(self, folder: Path, settings: str = SETTINGS) -> None:
        self.configuration: Configuration = configured(folder, server(settings))
        self.decider = Decider()
        self.log = KeptLog()
        self.rig = Rig()
        method = Unary(lambda data, _call: data)
        self.answers = Answers(
            self.configuration,
            {AUTHORIZATION: {CHECK: method}, EXPLANATION: {EXPLAIN: method}},
            answering(self.decider, self.log),
            self.rig.state,
            lambda: FewPages().answer,
        )

    def site(self, *services: str, **more: object) -> Site:
        """Return what one listener offers."""
        listener = Listener(
            TcpAddress("127.0.0.1", 0), frozenset(services), ("server", "listeners", 0)
        )
        listener = msgspec.structs.replace(listener, **more)
        return decisions._site(listener, self.answers, decisions._secrets(listener))


@pytest.fixture
def fixture(tmp_path: Path) -> Fixture:
    return Fixture(tmp_path)


def told(site: Site, request: WebRequest) -> WebResponse:
    answer = site.answer(request)
    assert isinstance(answer, WebResponse)
    return answer


def posted(path: str, body: Json, fields: Iterable[tuple[str, str]] = ()) -> WebRequest:
    return WebRequest("POST", path, fields=(KIND, *fields), body=json.dumps(body).encode())


def test_each_listener_has_its_services_and_no_others(fixture: Fixture) -> None:
    requests = {
        CONNECT: posted(CHECK, {}),
        EXPLANATION: posted(EXPLAIN, {}),
        AUTHZEN: posted(ASKS, {}),
        FORWARD_AUTH: WebRequest("GET", "/forward-auth/orders"),
        PAGES: WebRequest("GET", "/healthz"),
    }
    for services in (
        *({one} for one in requests if one != EXPLANATION),
        {CONNECT, EXPLANATION},
        {AUTHZEN, FORWARD_AUTH, CONNECT},
    ):
        site = fixture.site(*services)
        there = {name for name, one in requests.items() if told(site, one).status not in (404, 405)}
        assert there == services


def test_evaluations_follow_the_configuration(fixture: Fixture) -> None:
    site = fixture.site(AUTHZEN)
    subject: dict[str, Json] = {
        "type": "user",
        "id": "ann",
        "properties": {"scope": "a"},
    }
    body: dict[str, Json] = {
        "subject": subject,
        "action": {"name": "read"},
        "resource": {"type": "order", "id": "1"},
    }
    for api, path in (("general", ASKS), ("orders", f"/orders{ASKS}")):
        assert told(site, posted(path, body)).status == 200
        asked = fixture.decider.asked.pop()
        assert asked.api == api
        if api == "orders":
            assert asked.claim is not None
            kind: SubjectKind = "user"
            assert msgspec.structs.asdict(asked.claim) == {
                "issuer": "asserted:local",
                "subject": "ann",
                "kind": kind,
                "scopes": ("a",),
                "claims": {"scope": "a"},
            }
        else:
            assert asked.claim is None
    four: dict[str, Json] = {**body, "evaluations": [{}] * 4}
    assert told(site, posted(f"{ASKS}s", four)).status == 400
    with pytest.raises(CallFailed, match="more than 114 values"):
        told(site, posted(ASKS, {**body, "more": [0] * 200}))
    document = json.loads(told(site, WebRequest("GET", WELL_KNOWN)).body)
    assert document["policy_decision_point"] == "https://pdp.example.com"


def test_the_api_of_evaluations_comes_before_the_general_default(tmp_path: Path) -> None:
    fixture = Fixture(tmp_path, SETTINGS + 'api = "orders"\n')
    body: Json = {
        "subject": {"type": "access_token", "id": "t"},
        "action": {"name": "read"},
        "resource": {"type": "order", "id": "1"},
    }
    told(fixture.site(AUTHZEN), posted(ASKS, body))
    assert fixture.decider.asked[0].api == "orders"


def test_values_of_a_message_are_bounded_as_configured(fixture: Fixture) -> None:
    site = fixture.site(CONNECT)
    assert told(site, posted(CHECK, {"context": {"a": [0] * 70}})).status == 200
    with pytest.raises(CallFailed, match="more than 82 values"):
        told(site, posted(CHECK, {"context": {"a": [0] * 90}}))


def test_gateways_ask_about_the_apis_that_decide_now(fixture: Fixture) -> None:
    site = fixture.site(FORWARD_AUTH)
    fields = (("x-forwarded-method", "GET"), ("x-forwarded-uri", "/orders/1"))
    names = ("orders", "https%3A%2F%2Fexample.com%2Forders", "other")
    requests = [WebRequest("GET", f"/forward-auth/{name}", fields=fields) for name in names]
    assert [told(site, one).status for one in requests] == [503, 503, 503]
    fixture.rig.engine.load(policies(POLICY))
    assert [told(site, one).status for one in requests] == [200, 200, 404]
    assert [one.api for one in fixture.decider.asked] == ["orders", "orders"]


def test_pages_are_for_everybody_and_nothing_else_is(fixture: Fixture, tmp_path: Path) -> None:
    (tmp_path / "edge").write_text(SECRET)
    site = fixture.site(CONNECT, AUTHZEN, FORWARD_AUTH, PAGES, token_file=tmp_path / "edge")
    hosts = (("host", "a.example"), ("host", "b.example"))
    for method in ("GET", "HEAD"):
        page = told(site, WebRequest(method, "/readyz", fields=hosts))
        assert (page.status, page.body, page.content_type, page.headers) == (
            *(201, b"/readyz a.example", "text/x"),
            (("A", "b"),),
        )
    assert told(site, WebRequest("GET", "/readyz")).body == b"/readyz "
    refused = told(site, WebRequest("POST", "/readyz"))
    assert (refused.status, refused.headers) == (405, (("Allow", "GET, HEAD"),))
    assert told(site, WebRequest("GET", WELL_KNOWN)).status == 200
    failed = site.failed(WebRequest("GET", "/readyz"), CallFailed(StatusCode.INTERNAL, "x"))
    assert failed.status == 500
    bearer = ("authorization", f"Bearer {SECRET}")
    for closed in (posted(CHECK, {}), posted(ASKS, {}), WebRequest("GET", "/forward-auth/a")):
        with pytest.raises(CallFailed, match="asks for a secret"):
            told(site, closed)
        if not closed.path.startswith("/forward-auth/"):
            told(site, msgspec.structs.replace(closed, fields=(*closed.fields, bearer)))


def test_callers_over_mutual_tls_are_those_that_are_listed(fixture: Fixture) -> None:
    authority = Authority()
    tls = TlsFiles(Path("c"), Path("k"), Path("a"))
    site = fixture.site(CONNECT, tls=tls, callers=frozenset({"dns:shop.example"}))
    for host, enters in (("shop.example", True), ("other.example", False)):
        request = msgspec.structs.replace(
            posted(CHECK, {}), certificate=authority.issue(host).certificate
        )
        if enters:
            assert told(site, request).status == 200
        else:
            with pytest.raises(CallFailed, match="this certificate may not call") as caught:
                told(site, request)
            assert caught.value.code is StatusCode.PERMISSION_DENIED
    # Without authorities nobody shows a certificate.
    open_to_all = fixture.site(CONNECT, tls=TlsFiles(Path("c"), Path("k")))
    assert told(open_to_all, posted(CHECK, {})).status == 200


def test_the_server_bears_what_grpc_bears(fixture: Fixture) -> None:
    assert msgspec.structs.asdict(web_limits(fixture.configuration)) == {
        "body_bytes": 100_000,
        "connections": 40,
        "unfinished_bytes": 3_000_000,
        "receive_timeout": 3,
        "send_timeout": 4,
        "handshake_timeout": 6,
        "idle": 700,
    }


def test_a_file_without_secrets_is_named_by_its_setting(fixture: Fixture, tmp_path: Path) -> None:
    (tmp_path / "edge").write_text("short")
    with pytest.raises(ConfigurationInvalid) as caught:
        fixture.site(CONNECT, token_file=tmp_path / "edge")
    (found,) = caught.value.diagnostics
    assert found.code == "P5008"
    assert "`server.listeners" in found.headline


def test_listeners_are_bound_and_named_before_anything_is_answered(
    fixture: Fixture, tmp_path: Path
) -> None:
    socket = UnixAddress(tmp_path / "s")
    (tmp_path / "edge").write_text(SECRET)
    listeners = [
        Listener(TcpAddress("127.0.0.1", 0), frozenset({CONNECT}), ("server", "listen")),
        Listener(socket, frozenset({PAGES}), ("http", "listen"), token_file=tmp_path / "edge"),
    ]
    with ExitStack() as running:
        opened = open_decisions(listeners, fixture.answers, {}, running)
        first, second = (opened.addresses[one] for one in listeners)
        assert first.startswith("127.0.0.1:")
        assert not first.endswith(":0")
        assert second == str(socket)
        assert [one.caller for one in opened.secrets] == ["token:edge"]
        taken = TcpAddress("127.0.0.1", int(first.rpartition(":")[2]))
        again = Listener(taken, frozenset({CONNECT}), ("server", "listen"))
        with pytest.raises(BindFailed, match="in use"):
            decisions._bound(again, shared=False)
        opened.server.stop(0)
