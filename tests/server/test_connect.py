"""Connect's unary protocol over the real daemon: what curl and browsers would send, and worse."""

from __future__ import annotations

import base64
import json
import socket
import sys
from collections.abc import Iterator

import pytest
from google.rpc.error_details_pb2 import BadRequest

from policyd.json_types import Json
from policyd.v1 import authorization_pb2 as messages
from tests.support.certificates import Authority
from tests.support.daemon import (
    PATIENCE,
    Caller,
    Daemon,
    Site,
    access_token,
    check_request,
)
from tests.support.ports import free_port
from tests.support.web import addresses, question, raw, send, trusting

CHECK = "/policyd.v1.AuthorizationService/Check"
BATCH = "/policyd.v1.AuthorizationService/BatchCheck"
EXPLAIN = "/policyd.v1.ExplanationService/Explain"
HTTP = 'address = "127.0.0.1:0"\nservices = ["connect", "explanation", "pages"]'
GRPC = 'address = "127.0.0.1:0"\nservices = ["authorization"]'
SECRET = "an-old-secret-of-some-length"
AUTHORITY = Authority()


@pytest.fixture(scope="module")
def web(shared_site: Site) -> Iterator[Daemon]:
    shared_site.listen(HTTP, GRPC, 'address = "127.0.0.1:0"\nservices = ["connect"]')
    with shared_site.start() as running:
        yield running


@pytest.fixture
def address(web: Daemon) -> str:
    return addresses(web)[0]


def test_json_and_protobuf_say_the_same(address: str, web: Daemon) -> None:
    token = access_token()
    told = send(address, "POST", CHECK, question(token))
    assert (told.status, told.headers["content-type"]) == (200, "application/json")
    body = told.json()
    assert (body["allowed"], body["reason"], body["rules"]) == (True, "ALLOWED", ["reads"])
    data = check_request(token).SerializeToString()
    same = send(address, "POST", CHECK, data, Content_Type="application/proto")
    assert (same.status, same.headers["content-type"]) == (200, "application/proto")
    response = messages.CheckResponse.FromString(same.body)
    assert response.allowed
    with Caller(web.addresses[0]) as caller:
        over_grpc = caller.check(check_request(token))
    for one in (response, over_grpc):
        one.ClearField("decision_id")
        one.ClearField("cacheable_until")
    assert response == over_grpc


def test_names_of_the_contract_are_taken_in_both_spellings(address: str) -> None:
    value = question("")
    value["access_token"] = access_token()
    del value["accessToken"]
    assert send(address, "POST", CHECK, value).json()["allowed"] is True


def test_what_is_unknown_is_ignored(address: str) -> None:
    assert send(address, "POST", CHECK, question(future={"a": [1]})).json()["allowed"] is True


def test_a_refused_token_is_an_answer(address: str) -> None:
    told = send(address, "POST", CHECK, question("garbage"))
    assert (told.status, told.json().get("allowed", False)) == (200, False)
    assert told.json()["httpStatus"] == 401


def test_a_batch_and_an_explanation(address: str) -> None:
    item: Json = {
        "action": "read",
        "resource": {"type": "patient", "properties": {"sealed": False}},
    }
    batch: Json = {"accessToken": access_token(), "api": "health", "items": [item, {"id": "x"}]}
    results = send(address, "POST", BATCH, batch).json()["results"]
    assert isinstance(results, list)
    assert [next(iter(one.keys() - {"id"})) for one in results if isinstance(one, dict)] == [
        "response",
        "error",
    ]
    explained = send(address, "POST", EXPLAIN, {"request": question()}).json()
    assert isinstance(explained["rules"], list)


def test_partial_checks(address: str) -> None:
    asked = question(assumedUnknown=["resource"])
    asked["resource"] = {"type": "patient"}
    told = send(address, "POST", CHECK.replace("Check", "PartialCheck"), asked).json()
    assert told["outcome"] == "PARTIAL_OUTCOME_MAYBE"
    assert told["dependsOn"] == ["resource.sealed"]
    response = told["response"]
    assert isinstance(response, dict)
    assert (response.get("allowed", False), response["reason"]) == (False, "UNDECIDED")
    batch: Json = {
        "accessToken": access_token(),
        "api": "health",
        "items": [{"id": "a", "action": "read", "resource": {"type": "patient"}}, {"id": "b"}],
        "assumedUnknown": ["resource"],
    }
    results = send(address, "POST", BATCH.replace("Check", "PartialCheck"), batch).json()["results"]
    assert isinstance(results, list)
    assert [next(iter(one.keys() - {"id"})) for one in results if isinstance(one, dict)] == [
        "response",
        "error",
    ]
    mistake = send(
        address,
        "POST",
        CHECK.replace("Check", "PartialCheck"),
        question(assumedUnknown=["resource.seeled"]),
    )
    assert (mistake.status, mistake.json()["code"]) == (400, "invalid_argument")
    assert "did you mean `resource.sealed`?" in str(mistake.json()["message"])


def test_explanations_are_where_they_are_configured(web: Daemon) -> None:
    assert send(addresses(web)[1], "POST", EXPLAIN, {"request": question()}).status == 404
    assert send(addresses(web)[1], "GET", "/healthz").status == 404


def test_pages_stand_beside(address: str) -> None:
    assert send(address, "GET", "/healthz").body == b"OK\n"
    assert send(address, "POST", "/healthz").status == 405
    assert send(address, "GET", "/nothing").status == 404


def test_a_mistake_is_told_in_connects_words(address: str) -> None:
    told = send(address, "POST", CHECK, question(action="reed"))
    assert (told.status, told.headers["content-type"]) == (400, "application/json")
    body = told.json()
    assert body["code"] == "invalid_argument"
    assert "did you mean `read`?" in str(body["message"])
    details = body["details"]
    assert isinstance(details, list)
    (info, request) = details
    assert isinstance(info, dict)
    assert isinstance(request, dict)
    assert info["type"] == "google.rpc.ErrorInfo"
    assert isinstance(info["debug"], dict)
    assert info["debug"]["reason"] == "UNKNOWN_ACTION"
    value = str(request["value"])
    assert "=" not in value
    read = BadRequest.FromString(base64.b64decode(value + "=" * (-len(value) % 4)))
    assert read.field_violations[0].field == "action"


@pytest.mark.parametrize(
    ("body", "kind", "status", "said"),
    [
        (b"", "application/json", 400, "it is empty"),
        (b"[]", "application/json", 400, "not a JSON object"),
        (b'{"api": "a", "api": "b"}', "application/json", 400, "the member 'api' twice"),
        (b'{"resource": {"id": "\\ud800"}}', "application/json", 400, "half of a surrogate"),
        (b'{"api": 1}', "application/json", 400, "not a policyd.v1.CheckRequest"),
        (b'{"resource": []}', "application/json", 400, "`Resource` is an object"),
        (b'{"resource": "type"}', "application/json", 400, "`Resource` is an object"),
        (b'{"resource": {"properties": ["a"]}}', "application/json", 400, "is an object"),
        (b'{"context": NaN}', "application/json", 400, "is not JSON"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "application/json", 400, "nested"),
        (b"[" * 100_000, "application/json", 429, "more than"),
        (b'{"a": [' + b"1," * 100_000 + b"1]}", "application/json", 429, "more than"),
        (b"\xff", "application/json", 400, "not UTF-8"),
        (b"\xff", "application/proto", 400, "not a policyd.v1.CheckRequest message"),
        (b"{}", "application/connect+json", 415, ""),
        (b"{}", "text/plain", 415, ""),
    ],
)
def test_bad_bodies(address: str, body: bytes, kind: str, status: int, said: str) -> None:
    told = send(address, "POST", CHECK, body, Content_Type=kind)
    assert told.status == status
    assert said in told.body.decode()
    assert b'"allowed"' not in told.body


@pytest.mark.parametrize(
    ("headers", "status", "code"),
    [
        ({"Connect-Protocol-Version": "1", "Connect-Timeout-Ms": "10000"}, 200, None),
        ({"Connect-Protocol-Version": "2"}, 400, "invalid_argument"),
        ({"Connect-Timeout-Ms": "1.5"}, 400, "invalid_argument"),
        ({"Connect-Timeout-Ms": "12345678901"}, 400, "invalid_argument"),
        ({"Connect-Timeout-Ms": "0"}, 504, "deadline_exceeded"),
        ({"Content-Encoding": "gzip"}, 501, "unimplemented"),
        ({"Content-Type": "application/json; charset=utf-8"}, 200, None),
    ],
)
def test_header_fields(
    address: str, headers: dict[str, str], status: int, code: str | None
) -> None:
    told = send(address, "POST", CHECK, question(), **headers)
    assert (told.status, told.json().get("code")) == (status, code)


def test_tokens_are_never_in_urls(address: str) -> None:
    told = send(address, "GET", f"{CHECK}?connect=v1&encoding=json&message=%7B%7D")
    assert (told.status, told.headers["allow"]) == (405, "POST")


def test_whole_numbers_are_judged_by_their_text(address: str, web: Daemon) -> None:
    text = json.dumps(question())
    for properties, expected in (("1e0", 400), ("true", 200)):
        changed = text.replace('{"sealed": false}', f'{{"sealed": {properties}}}')
        assert (
            send(address, "POST", CHECK, changed.encode(), Content_Type="application/json").status
            == expected
        )


@pytest.mark.parametrize(
    ("data", "status"),
    [
        (b"\x16\x03\x01", b"400"),
        (b"GET / HTTP/2.0\r\n\r\n", b"505"),
        (b"GET / HTTP/1.1\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nX : y\r\n\r\n", b"400"),
        (b"GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 0\r\n\r\n", b"400"),
        (
            b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n"
            b"0\r\n\r\n",
            b"400",
        ),
        (b"GET / HTTP/1.1\r\nHost: a\r\n" + b"a: b\r\n" * 300 + b"\r\n", b"431"),
        (b"GET / HTTP/1.1\r\nHost: a\r\na: " + b"b" * 70_000, b"431"),
        (b"GET /" + b"a" * 70_000, b"414"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9999999\r\n\r\n", b"413"),
        (b"POST / HTTP/1.1\r\nHost: a\r\nExpect: tea\r\n\r\n", b"417"),
    ],
)
def test_what_is_no_request_ends_the_connection(address: str, data: bytes, status: bytes) -> None:
    told = raw(address, data)
    assert told.startswith(b"HTTP/1.1 " + status)
    assert b"Connection: close" in told


def test_requests_on_one_connection_are_answered_in_order(address: str) -> None:
    one = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n"
    two = b"GET /nothing HTTP/1.1\r\nHost: a\r\n\r\n"
    end = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"
    told = raw(address, one + two + end)
    assert [part[:3] for part in told.split(b"HTTP/1.1 ")[1:]] == [b"200", b"404", b"200"]


def test_a_body_in_chunks_and_one_that_was_asked_for(address: str) -> None:
    body = json.dumps(question()).encode()
    chunks = b"".join(b"1\r\n%c\r\n" % byte for byte in body)
    head = f"POST {CHECK} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    head += "Content-Type: application/json\r\n"
    chunked = raw(
        address,
        head.encode() + b"Transfer-Encoding: chunked\r\n\r\n" + chunks + b"0\r\nHost: b\r\n\r\n",
    )
    assert b'"allowed":true' in chunked.replace(b" ", b"")
    asked = f"{head}Expect: 100-continue\r\nContent-Length: {len(body)}\r\n\r\n"
    assert raw(address, asked.encode() + body).startswith(
        b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200"
    )


def test_callers_over_http_show_a_secret(site: Site) -> None:
    (site.folder / "callers").write_text(f"{SECRET}\nanother-secret-of-some-length\n")
    site.listen(
        'address = "127.0.0.1:0"\nservices = ["connect", "pages"]\ntoken_file = "callers"',
        'address = "unix:web"\nservices = ["connect"]\nmode = "0600"',
    )
    with site.start() as daemon:
        closed, socket_address = addresses(daemon)
        for header in (
            "",
            "Bearer",
            "Bearer wrong",
            f"Basic {SECRET}",
            SECRET,
            f"Bearer {SECRET}x",
        ):
            told = send(closed, "POST", CHECK, question(), Authorization=header)
            assert (told.status, told.json()["code"]) == (401, "unauthenticated")
            assert told.headers["www-authenticate"] == "Bearer"
        assert (
            send(closed, "POST", CHECK, question(), Authorization=f"bearer {SECRET}").status == 200
        )
        assert send(closed, "GET", "/healthz").status == 200
        assert send(socket_address, "POST", CHECK, question()).status == 200
    assert [record["caller"] for record in site.records()] == ["token:callers", "local"]


def test_callers_over_http_show_a_certificate(site: Site) -> None:
    for name, names in (
        ("server", ("localhost",)),
        ("one", ("a.example",)),
        ("two", ("b.example",)),
    ):
        pair = AUTHORITY.issue(*names)
        (site.folder / f"{name}.pem").write_bytes(pair.certificate)
        (site.folder / f"{name}.key").write_bytes(pair.key)
        (site.folder / f"{name}.both").write_bytes(pair.key + pair.certificate)
    authorities = site.folder / "ca.pem"
    authorities.write_bytes(AUTHORITY.certificate)
    site.listen(
        'address = "localhost:0"\nservices = ["connect"]\ncallers = ["dns:a.example"]\n'
        'tls = { certificate = "server.pem", private_key = "server.key", '
        'client_authorities = "ca.pem" }'
    )
    with site.start() as daemon:
        (address,) = addresses(daemon)
        one = trusting(authorities, site.folder / "one.both")
        assert send(address, "POST", CHECK, question(), one).status == 200
        two = trusting(authorities, site.folder / "two.both")
        told = send(address, "POST", CHECK, question(), two)
        assert (told.status, told.json()["code"]) == (403, "permission_denied")
        with pytest.raises(OSError):  # noqa: PT011 - a reset, or TLS's alert
            send(address, "POST", CHECK, question(), trusting(authorities))
    assert [record["caller"] for record in site.records()] == ["dns:a.example"]


def test_pages_over_tls_and_ports_that_workers_share(site: Site) -> None:
    pair = AUTHORITY.issue("localhost")
    (site.folder / "cert.pem").write_bytes(pair.certificate)
    (site.folder / "key.pem").write_bytes(pair.key)
    (site.folder / "ca.pem").write_bytes(AUTHORITY.certificate)
    ports = [free_port() for _ in range(2)]
    site.listen(
        f'address = "127.0.0.1:{ports[0]}"\nservices = ["connect"]',
        f'address = "localhost:{ports[1]}"\nservices = ["pages"]\n'
        'tls = { certificate = "cert.pem", private_key = "key.pem" }',
        further="[dpop]\nenabled = false",
    )
    path = site.folder / "policyd.toml"
    path.write_text(path.read_text().replace("drain = 0", "drain = 0\nworkers = 2"))
    with site.start() as daemon:
        first = daemon.wait_for_log("serving")["pid"]
        daemon.wait_for_log("serving", lambda line: line["pid"] != first)
        for _ in range(20):
            assert send(f"127.0.0.1:{ports[0]}", "POST", CHECK, question()).status == 200
        trusted = trusting(site.folder / "ca.pem")
        told = send(f"localhost:{ports[1]}", "GET", "/healthz", b"", trusted)
        assert told.body == b"OK\n"


def test_dawdlers_hold_up_neither_protocol(site: Site) -> None:
    site.listen(
        f"{HTTP}",
        GRPC,
        further="",
    )
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        (address,) = addresses(daemon)
        host, _, port = address.rpartition(":")
        dawdlers = [socket.create_connection((host, int(port)), PATIENCE) for _ in range(200)]
        try:
            for number, dawdler in enumerate(dawdlers):
                head = f"POST {CHECK} HTTP/1.1\r\nHost: a\r\nContent-Length: 500000\r\n\r\n"
                dawdler.sendall(head.encode()[: 20 if number % 2 else None])
                if not number % 2:
                    dawdler.sendall(b"x" * 300_000)
            for _ in range(20):
                assert send(address, "POST", CHECK, question()).status == 200
                assert caller.check(check_request()).allowed
        finally:
            for dawdler in dawdlers:
                dawdler.close()


def test_a_stop_ends_with_connections_open(site: Site) -> None:
    site.listen(HTTP)
    with site.start() as daemon:
        (address,) = addresses(daemon)
        host, _, port = address.rpartition(":")
        with socket.create_connection((host, int(port)), PATIENCE) as idle:
            idle.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
            assert idle.recv(100).startswith(b"HTTP/1.1 200")
            assert daemon.end() == 0
            while idle.recv(4096):
                pass


#: Runs the Python command line that follows, and writes down at its end what it has loaded.
NOTING = """\
import atexit, sys
from pathlib import Path
names = ("httptools", "web_connection", "json_format")
loaded = lambda: [m for m in sys.modules if any(name in m for name in names)]
atexit.register(lambda: Path("loaded").write_text(repr(loaded())))
*_, flag, program = sys.argv[:4]
assert flag == "-c", sys.argv
sys.argv[:4] = ["policyd"]
exec(program)
"""


def test_a_daemon_without_such_a_listener_loads_nothing_of_it(site: Site) -> None:
    with site.start(prefix=(sys.executable, "-c", NOTING)) as daemon:
        assert daemon.end() == 0
    assert (site.folder / "loaded").read_text() == "[]"
