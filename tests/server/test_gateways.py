"""Forward authentication through the real nginx and the real Caddy, before a real upstream."""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from urllib.parse import quote

import pytest

from policyd.client import thumbprint
from tests.support.certificates import self_signed
from tests.support.confusions import CONFUSIONS, Confusion
from tests.support.daemon import Daemon, Site, access_token
from tests.support.gateways import (
    DEPLOY,
    Upstream,
    caddy,
    configured,
    nginx,
    running,
)
from tests.support.ports import free_port
from tests.support.web import Reply, addresses, raw, send

POLICY = """\
api orders

audience "https://example.com/health-api"

scope read:patients  "Read"

resource orders {
    actions list
}

resource order {
    actions read, cancel
}

route GET "/orders" as list on orders
route GET "/orders/{id}" as read on order
route DELETE "/orders/{id}" as cancel on order

allow lists: list on orders
    when scope read:patients

allow reads: read on order
    when scope read:patients and resource.id != "secret"

allow cancels: cancel on order
    when scope read:patients and token.client == "desk"
"""


class Gateway(NamedTuple):
    name: str
    address: str
    upstream: Upstream
    daemon: Daemon


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Site:
    made = Site(tmp_path_factory.mktemp("daemon"))
    made.policy.write_text(POLICY)
    made.listen('address = "127.0.0.1:0"\nservices = ["forward-auth"]')
    return made


@pytest.fixture(scope="module")
def daemon(site: Site) -> Iterator[Daemon]:
    with site.start() as started:
        yield started


@pytest.fixture(scope="module", params=["nginx", "caddy"])
def gateway(
    request: pytest.FixtureRequest, daemon: Daemon, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Gateway]:
    folder, upstream = tmp_path_factory.mktemp("gateway"), Upstream()
    address = f"127.0.0.1:{free_port()}"
    (decisions,) = addresses(daemon)
    put = {
        "127.0.0.1:8000": address,
        "127.0.0.1:8080": upstream.address,
        "127.0.0.1:8183": decisions,
    }
    if request.param == "nginx":
        command = nginx(folder, configured("nginx/policyd.conf", put, "orders"))
    else:
        command = caddy(folder, configured("caddy/Caddyfile", put, "orders"))
    try:
        with running(command, folder, address):
            yield Gateway(request.param, address, upstream, daemon)
    finally:
        upstream.close()


def ask(gateway: Gateway, method: str, path: str, token: str | None, **headers: str) -> Reply:
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return send(gateway.address, method, path, **headers)


def line(gateway: Gateway, target: str, *fields: str) -> int:
    """Send a request's bytes as they are; return the status."""
    token = access_token()
    host = f"Host: {gateway.address}"
    head = [f"GET {target} HTTP/1.1", host, f"Authorization: Bearer {token}", *fields]
    data = "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1")
    return int(raw(gateway.address, data).split(b" ", 2)[1])


def test_what_is_allowed_reaches_the_upstream(gateway: Gateway) -> None:
    told = ask(gateway, "GET", "/orders/7?page=2", access_token(sub="auth0|Zoë, a;b"))
    assert (told.status, told.body) == (200, b"upstream\n")
    assert gateway.upstream.requests[-1][:2] == ("GET", "/orders/7?page=2")
    assert gateway.upstream.fields("X-Policyd-Subject") == ["auth0|Zo%C3%AB%2C%20a%3Bb"]
    assert gateway.upstream.fields("X-Policyd-Client") == ["my_client_id"]
    assert len(gateway.upstream.fields("X-Policyd-Decision-Id")) == 1


def test_a_body_goes_to_the_upstream_and_not_to_policyd(gateway: Gateway) -> None:
    headers = {"Authorization": f"Bearer {access_token(azp='desk')}"}
    told = send(gateway.address, "DELETE", "/orders/7", b"x" * 100_000, **headers)
    assert told.status == 200
    assert gateway.upstream.requests[-1][:2] == ("DELETE", "/orders/7")


@pytest.mark.parametrize(
    ("token", "status", "challenge"),
    [
        (None, 401, 'Bearer realm="orders"'),
        ("garbage", 401, 'error="invalid_token"'),
        (access_token(exp=1), 401, 'error="invalid_token"'),
        (access_token(scope="openid"), 403, 'error="insufficient_scope", scope="read:patients"'),
    ],
)
def test_what_is_refused_brings_its_challenge(
    gateway: Gateway, token: str | None, status: int, challenge: str
) -> None:
    before = len(gateway.upstream.requests)
    told = ask(gateway, "GET", "/orders", token)
    assert told.status == status
    assert challenge in told.headers["www-authenticate"]
    assert len(gateway.upstream.requests) == before


def test_what_no_rule_allows_is_forbidden(gateway: Gateway) -> None:
    for method, path in (
        ("GET", "/orders/secret"),
        ("DELETE", "/orders/7"),
        ("PUT", "/orders/7"),
        ("GET", "/other"),
        ("OPTIONS", "/orders"),
    ):
        assert ask(gateway, method, path, access_token()).status == 403


def test_identity_fields_are_never_the_callers(gateway: Gateway) -> None:
    spoofed = ("X-Policyd-Subject", "x-policyd-client", "X_Policyd_Subject", "X-Policyd_Client")
    ask(gateway, "GET", "/orders", access_token(), **dict.fromkeys(spoofed, "root"))
    assert gateway.upstream.fields("X-Policyd-Subject") == ["auth0|123456"]
    assert gateway.upstream.fields("X-Policyd-Client") == ["my_client_id"]
    assert "root" not in str(gateway.upstream.requests[-1])


#: Fields by which a caller would tell policyd of another request than the one that it sends.
LIES = [
    ("X-Original-URI: /orders", "X-Original-Method: GET"),
    ("X-Forwarded-Uri: /orders", "X-Forwarded-Method: GET"),
    ("X-Forwarded-Uri: /orders",),
    ("X-Original-URI: /orders",),
    ("x-original-uri: /orders", "X-ORIGINAL-METHOD: GET", "X-Original-URI: /orders"),
    ("X_Original_URI: /orders", "X_Forwarded_Uri: /orders"),
    ("X-Rewrite-URL: /orders", "X-HTTP-Method-Override: GET"),
    ("X-Forwarded-Prefix: /orders", "X-Forwarded-Path: /orders"),
]


@pytest.mark.parametrize("fields", LIES)
@pytest.mark.parametrize("query", ["", "?gateway=nginx", "?gateway=nginx&gateway=nginx"])
def test_no_field_of_a_caller_tells_of_another_request(
    gateway: Gateway, fields: tuple[str, ...], query: str
) -> None:
    before = len(gateway.upstream.requests)
    assert line(gateway, f"/orders/secret{query}", *fields) in (400, 403)
    assert len(gateway.upstream.requests) == before
    # The twin: what may be asked is answered, whatever else is said.
    assert line(gateway, f"/orders/7{query}", *fields) == 200


@pytest.mark.parametrize("confusion", CONFUSIONS, ids=[one.attack for one in CONFUSIONS])
def test_paths_are_never_understood_in_two_ways(gateway: Gateway, confusion: Confusion) -> None:
    attack, twin = (target.replace("HERE", gateway.address) for target in confusion)
    before = len(gateway.upstream.requests)
    assert line(gateway, attack) in (400, 403, 404)
    assert gateway.upstream.requests[before:] == []
    assert line(gateway, twin) == 200
    assert [path for _, path, _ in gateway.upstream.requests[before:]] == [twin]


def test_a_daemon_that_is_away_lets_nothing_pass(tmp_path: Path) -> None:
    upstream = Upstream()
    put = {
        "127.0.0.1:8000": f"127.0.0.1:{free_port()}",
        "127.0.0.1:8080": upstream.address,
        "127.0.0.1:8183": f"127.0.0.1:{free_port()}",
    }
    try:
        for name, make, file in (
            ("nginx", nginx, "nginx/policyd.conf"),
            ("caddy", caddy, "caddy/Caddyfile"),
        ):
            folder = tmp_path / name
            folder.mkdir()
            command = make(folder, configured(file, put, "orders"))
            with running(command, folder, put["127.0.0.1:8000"]) as address:
                token = f"Bearer {access_token()}"
                assert send(address, "GET", "/orders", Authorization=token).status >= 500
        assert upstream.requests == []
    finally:
        upstream.close()


def test_traefik_is_answered_by_the_fields_that_it_documents(daemon: Daemon) -> None:
    (address,) = addresses(daemon)
    fields = {
        "X-Forwarded-Method": "GET",
        "X-Forwarded-Proto": "https",
        "X-Forwarded-Host": "orders.example.com",
        "X-Forwarded-Uri": "/orders/7?page=2",
        "X-Forwarded-For": "192.0.2.1",
        "Authorization": f"Bearer {access_token()}",
    }
    path = "/forward-auth/orders"
    told = send(address, "GET", path, **fields)
    assert told.status == 200
    file = tomllib.loads((DEPLOY / "traefik" / "dynamic.toml").read_text())
    middleware = file["http"]["middlewares"]["policyd"]["forwardAuth"]
    assert {name.lower() for name in middleware["authResponseHeaders"]} <= told.headers.keys()
    assert middleware["trustForwardHeader"] is False
    assert middleware["address"].endswith(path)
    # Documented for the middleware, of Traefik 2.11 and 3.
    assert middleware.keys() <= {
        *("address", "trustForwardHeader", "authResponseHeaders", "authResponseHeadersRegex"),
        *("authRequestHeaders", "addAuthCookiesToResponse", "forwardBody", "maxBodySize"),
        *("headerField", "preserveLocationHeader", "preserveRequestMethod", "tls"),
    }
    assert send(address, "GET", path, **(fields | {"X-Forwarded-Method": "DELETE"})).status == 403
    assert send(address, "GET", path, **(fields | {"Authorization": ""})).status == 401


@pytest.mark.parametrize(
    ("method", "path", "changes", "status"),
    [
        ("GET", "/forward-auth/orders", {}, 200),
        ("HEAD", "/forward-auth/orders", {}, 200),
        ("POST", "/forward-auth/orders", {}, 405),
        ("GET", "/forward-auth/nothing", {}, 404),
        ("GET", "/forward-auth/nothing?gateway=nginx", {}, 403),
        ("GET", "/forward-auth/", {}, 404),
        ("GET", "/forward-auth/https%3A%2F%2Fexample.com%2Fhealth-api", {}, 200),
        ("GET", "/forward-auth/orders", {"X-Forwarded-Uri": ""}, 400),
        ("GET", "/forward-auth/orders", {"X-Forwarded-Method": ""}, 400),
        ("GET", "/forward-auth/orders", {"X-Forwarded-Uri": "orders"}, 400),
        ("GET", "/forward-auth/orders", {"X-Forwarded-Uri": "/orders/../x"}, 400),
        ("GET", "/forward-auth/orders?gateway=nginx", {"X-Forwarded-Uri": "/orders/../x"}, 403),
        ("GET", "/forward-auth/orders", {"X-Forwarded-Method": "get"}, 403),
        ("GET", "/forward-auth/orders", {"X-Original-URI": "/orders"}, 400),
        ("GET", "/forward-auth/orders", {"Authorization": "Basic eDp5"}, 401),
        ("GET", "/forward-auth/orders", {"DPoP": "a"}, 200),
        ("GET", "/forward-auth/orders", {"Authorization": "DPoP a", "DPoP": "a"}, 400),
    ],
)
def test_what_gateways_are_answered(
    daemon: Daemon, method: str, path: str, changes: dict[str, str], status: int
) -> None:
    fields = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/orders"}
    fields["Authorization"] = f"Bearer {access_token()}"
    assert send(addresses(daemon)[0], method, path, **(fields | changes)).status == status


def test_two_credentials_are_none(daemon: Daemon) -> None:
    (address,) = addresses(daemon)
    head = "GET /forward-auth/orders HTTP/1.1\r\nHost: a\r\nConnection: close\r\n"
    head += "X-Forwarded-Method: GET\r\nX-Forwarded-Uri: /orders\r\n"
    token = f"Authorization: Bearer {access_token()}\r\n"
    assert raw(address, f"{head}{token}\r\n".encode()).startswith(b"HTTP/1.1 200")
    assert raw(address, f"{head}{token}{token}\r\n".encode()).startswith(b"HTTP/1.1 400")
    joined = token.replace("\r\n", f", Bearer {access_token()}\r\n")
    assert raw(address, f"{head}{joined}\r\n".encode()).startswith(b"HTTP/1.1 401")


def test_a_gateway_shows_its_secret_in_a_field_of_its_own(tmp_path: Path) -> None:
    own = Site(tmp_path)
    own.policy.write_text(POLICY)
    (tmp_path / "gateways").write_text("a-secret-of-some-length\n")
    own.listen(
        'address = "127.0.0.1:0"\nservices = ["forward-auth"]\ntoken_file = "gateways"\n'
        'certificate_header = "X-Client-Certificate"'
    )
    fields = {"X-Forwarded-Method": "GET", "X-Forwarded-Uri": "/orders"}
    fields["Authorization"] = f"Bearer {access_token()}"
    with own.start() as daemon:
        (address,) = addresses(daemon)
        assert send(address, "GET", "/forward-auth/orders", **fields).status == 403
        fields["Policyd-Authorization"] = "Bearer a-secret-of-some-length"
        assert send(address, "GET", "/forward-auth/orders", **fields).status == 200
        held, other = self_signed().certificate.decode(), self_signed("x").certificate.decode()
        bound = f"Bearer {access_token(cnf={'x5t#S256': thumbprint(held)})}"
        for shown, status in ((held, 200), (other, 401), ("", 401), ("none", 400)):
            fields |= {"Authorization": bound, "X-Client-Certificate": quote(shown)}
            assert send(address, "GET", "/forward-auth/orders", **fields).status == status
        del fields["X-Client-Certificate"]
        assert send(address, "GET", "/forward-auth/orders", **fields).status == 401
    record, *_ = own.records()
    assert (record["caller"], record["resource_type"]) == ("token:gateways", "orders")
