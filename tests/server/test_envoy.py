"""External authorization through the real Envoy, before real services.

`tests.support.envoy` says what its listeners are. With `failure_mode_allow`, Envoy lets a request
pass whenever policyd does not answer: nothing that a client sends may bring that about.
"""

from __future__ import annotations

import random
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import grpc
import pytest

from policyd.tokens import jws
from tests.server.test_gateways import POLICY as ORDERS
from tests.support.authorization_server import AuthorizationServer, authorization_server
from tests.support.confusions import CONFUSIONS, Confusion
from tests.support.daemon import ISSUER, PATIENCE, Site, access_token
from tests.support.envoy import CANCEL, LIST, Stack, stack
from tests.support.ports import free_port
from tests.support.proofs import jkt, proof
from tests.support.redis import until
from tests.support.web import Reply, raw, send

#: There are two issuers, so a rule about clients says whose it means.
OF_ISSUER = ORDERS.replace("token.client ==", f'token.iss == "{ISSUER}" and token.client ==')
POLICY = f"""{OF_ISSUER}
route POST "{LIST}" as list on orders
route POST "{CANCEL}" as cancel on order
"""
SEED = random.randrange(2**32)


@pytest.fixture(scope="module")
def issuer(tmp_path_factory: pytest.TempPathFactory) -> Iterator[AuthorizationServer]:
    """An issuer that has to be asked about its tokens, and never answers."""
    with authorization_server(tmp_path_factory.mktemp("issuer")) as server:
        server.routes["/introspect"] = server.hang
        yield server


@pytest.fixture(scope="module")
def whole(
    issuer: AuthorizationServer, transport: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Stack]:
    folder, port = tmp_path_factory.mktemp("daemon"), free_port()
    site = Site(folder, transport)
    site.policy.write_text(POLICY)
    (folder / "secret").write_text("correct horse\n")
    site.listen(
        f'address = "127.0.0.1:{port}"\nservices = ["envoy"]',
        further=issuer.configuration(further="timeout = 5\n"),
    )
    # With several issuers, each must name its APIs.
    configuration = folder / "policyd.toml"
    text = configuration.read_text().replace("\ndialect", '\napis = ["orders"]\ndialect')
    configuration.write_text(text)
    with stack(site, tmp_path_factory.mktemp("envoy"), port) as running:
        yield running


def ask(
    address: str, method: str, path: str, token: str | None, body: bytes = b"", /, **headers: str
) -> Reply:
    if token is not None:
        headers["Authorization"] = f"Bearer {token}"
    return send(address, method, path, body, **headers)


def line(address: str, target: str, *fields: str, token: str | None = None) -> int:
    """Send a request's bytes as they are; return the status, 0 where there is no answer."""
    token = access_token() if token is None else token
    head = [f"GET {target} HTTP/1.1", f"Host: {address}", f"Authorization: Bearer {token}", *fields]
    data = "\r\n".join([*head, "Connection: close", "", ""]).encode("latin-1")
    told = raw(address, data)
    return int(told.split(b" ", 2)[1]) if told else 0


def curl(address: str, *targets: str) -> list[int]:
    """Send requests over HTTP/2; return the statuses, 0 where there is no answer."""
    host, _, port = address.rpartition(":")
    command = ["curl"]
    for number, target in enumerate(targets):
        command += ["--silent", "--http2-prior-knowledge", "--max-time", "30"]
        # Each by a host of its own, so that none is affected by the connection of another.
        command += ["--resolve", f"host{number}:{port}:{host}"]
        command += ["--header", f"Authorization: Bearer {access_token()}"]
        command += ["--output", "/dev/null", "--write-out", "%{http_version} %{http_code}\n"]
        command += ["--request-target", target, f"http://host{number}:{port}/", "--next"]
    told = subprocess.run(
        command[:-1], capture_output=True, text=True, timeout=PATIENCE, check=False
    ).stdout.splitlines()
    assert len(told) == len(targets)
    assert {one.split()[0] for one in told} <= {"2", "0"}
    return [int(one.split()[1]) for one in told]


def test_what_is_allowed_reaches_the_service(whole: Stack) -> None:
    told = ask(whole.plain, "GET", "/orders/7?page=2", access_token(sub="auth0|Zoë, a;b"))
    assert (told.status, told.body) == (200, b"upstream\n")
    assert whole.upstream.requests[-1][:2] == ("GET", "/orders/7?page=2")
    assert whole.upstream.fields("X-Policyd-Subject") == ["auth0|Zo%C3%AB%2C%20a%3Bb"]
    assert whole.upstream.fields("X-Policyd-Client") == ["my_client_id"]
    assert len(whole.upstream.fields("X-Policyd-Decision-Id")) == 1
    assert len(whole.upstream.fields("Authorization")) == 1


def test_a_token_without_a_subject_has_empty_fields(whole: Stack) -> None:
    token = access_token(sub="app@clients", azp="app", gty="client-credentials")
    fields = {"X-Policyd-Subject": "root", "X-Policyd-Client": "root"}
    ask(whole.plain, "GET", "/orders", token, **fields)
    assert len(whole.upstream.fields("X-Policyd-Subject")) == 1
    assert "root" not in str(whole.upstream.requests[-1])


@pytest.mark.parametrize(
    ("token", "status", "challenge"),
    [
        (None, 401, 'Bearer realm="orders"'),
        ("a.b.c", 401, 'error="invalid_token"'),
        (access_token(exp=1), 401, 'error="invalid_token"'),
        (access_token(scope="openid"), 403, 'error="insufficient_scope", scope="read:patients"'),
    ],
)
def test_what_is_refused_brings_its_challenge(
    whole: Stack, token: str | None, status: int, challenge: str
) -> None:
    before = len(whole.upstream.requests)
    for address in (whole.plain, whole.open):
        told = ask(address, "GET", "/orders", token)
        assert told.status == status
        assert challenge in told.headers["www-authenticate"]
        assert 0 < len(told.body) <= 200
        assert told.body.decode("ascii").isprintable()
    assert len(whole.upstream.requests) == before


def test_what_no_rule_allows_is_forbidden(whole: Stack) -> None:
    before = len(whole.upstream.requests)
    for method, path in (
        ("GET", "/orders/secret"),
        ("DELETE", "/orders/7"),
        ("PUT", "/orders/7"),
        ("GET", "/other"),
        ("OPTIONS", "/orders"),
    ):
        assert ask(whole.plain, method, path, access_token()).status == 403
    assert len(whole.upstream.requests) == before


def test_a_route_of_envoys_may_say_what_is_asked(whole: Stack) -> None:
    before = len(whole.site.records())
    assert ask(whole.plain, "GET", "/status", access_token()).status == 200
    assert ask(whole.plain, "GET", "/status", access_token(scope="openid")).status == 403

    def asked() -> set[tuple[object, ...]]:
        return {(one["effect"], one["action"]) for one in whole.site.records()[before:]}

    until(lambda: {("allow", "list"), ("deny", "list")} <= asked(), "no record was written")


def test_identity_fields_are_never_the_clients(whole: Stack) -> None:
    names = [
        f"X{a}Policyd{b}{name}"
        for a in "-_."
        for b in "-_."
        for name in ("Subject", "Client", "Decision-Id", "decision_id", "Decision.Id")
    ]
    fields = [f"{name}: root" for name in (*names, "x-policyd-subject", "X-POLICYD-SUBJECT")]
    for address in (whole.plain, whole.open):
        assert line(address, "/orders", *fields) == 200
        reached = [
            (name, value) for name, value in whole.upstream.requests[-1][2] if "policyd" in name
        ]
        assert [name for name, _ in sorted(reached)] == [
            "x-policyd-client",
            "x-policyd-decision-id",
            "x-policyd-subject",
        ]
        assert "root" not in dict(reached).values()


def test_two_credentials_are_none(whole: Stack) -> None:
    token = access_token()
    for address in (whole.plain, whole.open):
        assert line(address, "/orders", f"Authorization: Bearer {token}") == 400
        assert line(address, "/orders", token=f"{token},Bearer {token}") == 400
        assert line(address, "/orders", token=f"{token}, Basic eDp5") == 400
        assert line(address, "/orders") == 200


@pytest.mark.parametrize("confusion", CONFUSIONS, ids=[one.attack for one in CONFUSIONS])
@pytest.mark.parametrize("listener", ["plain", "open"])
def test_paths_are_never_understood_in_two_ways(
    whole: Stack, listener: str, confusion: Confusion
) -> None:
    address = whole.plain if listener == "plain" else whole.open
    attack, twin = (target.replace("HERE", address) for target in confusion)
    before = len(whole.upstream.requests)
    assert line(address, attack) in (400, 403, 404)
    assert whole.upstream.requests[before:] == []
    assert line(address, twin) == 200
    assert [path for _, path, _ in whole.upstream.requests[before:]] == [twin]


def test_nor_are_those_of_http_2(whole: Stack) -> None:
    ascii_only = [one for one in CONFUSIONS if one.attack.isascii()]
    attacks = [one.attack.replace("HERE", whole.plain) for one in ascii_only]
    twins = [one.twin.replace("HERE", whole.plain) for one in ascii_only]
    before = len(whole.upstream.requests)
    told = curl(whole.open, *attacks)
    assert set(told) <= {0, 400, 403, 404}
    # Where Envoy itself finds fault with a path, it resets the stream.
    assert told.count(0) < len(told) / 4
    assert whole.upstream.requests[before:] == []
    told = curl(whole.open, *twins)
    assert [one for one, status in zip(twins, told, strict=True) if status != 200] == []
    assert [path for _, path, _ in whole.upstream.requests[before:]] == twins


def call(whole: Stack, method: str, token: str, address: str = "") -> tuple[str, str, bytes]:
    """Call a service over gRPC; return status, message and answer."""
    with grpc.insecure_channel(address or whole.plain) as channel:
        unary: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(method)
        metadata = (("authorization", f"Bearer {token}"),)
        try:
            return "OK", "", unary(b"message", metadata=metadata, timeout=PATIENCE)
        except grpc.RpcError as error:
            return error.code().name, error.details() or "", b""


def test_callers_over_grpc(whole: Stack) -> None:
    assert call(whole, LIST, access_token()) == ("OK", "", b"message")
    method, fields = whole.orders.requests[-1]
    assert (method, fields["x-policyd-subject"]) == (LIST, "auth0|123456")
    before = len(whole.orders.requests)
    assert call(whole, CANCEL, access_token())[:2] == ("PERMISSION_DENIED", "no rule allows this")
    assert call(whole, LIST, "a.b.c")[0] == "UNAUTHENTICATED"
    for method in (
        "/orders.v1.Orders/../Orders/List",
        "//List",
        "/orders.v1.Orders%2FList",
        "/x/y",
    ):
        for address in (whole.plain, whole.open):
            code, message, _ = call(whole, method, access_token(), address)
            assert code in ("PERMISSION_DENIED", "INTERNAL", "UNKNOWN", "UNIMPLEMENTED")
            assert message.isprintable()
    assert len(whole.orders.requests) == before


def test_a_token_that_is_bound_to_a_key(whole: Stack) -> None:
    token = access_token(cnf={"jkt": jkt()})
    uri = f"http://{whole.plain}/orders/7"

    def shown(name: str, htu: str = uri) -> dict[str, str]:
        made = proof(token, htm="GET", htu=htu, jti=name, iat=int(time.time()))
        return {"Authorization": f"DPoP {token}", "DPoP": made}

    fields = shown("one")
    assert ask(whole.plain, "GET", "/orders/7?a=b", None, **fields).status == 200
    again = ask(whole.plain, "GET", "/orders/7?a=b", None, **fields)
    assert again.status == 401
    assert again.headers["www-authenticate"].startswith("DPoP ")
    assert ask(whole.plain, "GET", "/orders/8", None, **shown("two")).status == 401
    other = shown("three", htu="http://other.example/orders/7")
    assert ask(whole.plain, "GET", "/orders/7", None, **other).status == 401
    assert ask(whole.plain, "GET", "/orders/7", token).status == 401
    assert ask(whole.plain, "GET", "/orders/7", None, **shown("four")).status == 200


def test_a_token_that_is_bound_to_a_certificate(whole: Stack, tmp_path: Path) -> None:
    def shown(name: str) -> tuple[ssl.SSLContext, str]:
        pair, context = whole.authority.issue(name), ssl.create_default_context()
        context.load_verify_locations(cadata=whole.authority.certificate.decode())
        (tmp_path / name).write_bytes(pair.certificate + pair.key)
        context.load_cert_chain(tmp_path / name)
        der = ssl.PEM_cert_to_DER_cert(pair.certificate.decode())
        return context, jws.encode_segment(sha256(der).digest()).decode()

    context, thumbprint = shown("client.example")
    other, _ = shown("other.example")
    nobody = ssl.create_default_context(cadata=whole.authority.certificate.decode())
    field = {"Authorization": f"Bearer {access_token(cnf={'x5t#S256': thumbprint})}"}
    assert send(whole.tls, "GET", "/orders/7", b"", context, **field).status == 200
    assert send(whole.tls, "GET", "/orders/7", b"", other, **field).status == 401
    assert send(whole.tls, "GET", "/orders/7", b"", nobody, **field).status == 401
    assert send(whole.plain, "GET", "/orders/7", **field).status == 401


def test_no_issuer_is_waited_for_too_long(whole: Stack, issuer: AuthorizationServer) -> None:
    before = len(whole.upstream.requests)
    told = ask(whole.open, "GET", "/orders/7", "opaque-token")
    assert (told.status, told.body) == (503, b"what the token's issuer says did not come in time")
    assert issuer.hanging.acquire(timeout=PATIENCE)
    assert len(whole.upstream.requests) == before


class Noise:
    """Makes requests, from one seed, that are not to reach the service."""

    def __init__(self, seed: int) -> None:
        self._random = random.Random(seed)
        self._tokens = [access_token(scope="openid"), "a.b.c", "", "é.é.é"]

    def request(self, host: str) -> bytes:
        choose, number = self._random.choice, self._random.randrange
        good = access_token()
        # With the good token only what may not be read, with others anything.
        token = choose(self._tokens) if number(3) else good
        target = (
            choose(("/orders/secret", "/orders/secret?a", "/x")) if token is good else "/orders/7"
        )
        if number(4) == 0:
            target = choose(CONFUSIONS).attack.replace("HERE", host)
        lines = [f"{choose(('GET', 'POST', 'PUT', 'TRACE', 'X'))} {target} HTTP/1.1"]
        lines += [f"Host: {choose((host, 'a', 'é', '[::1]', ''))}", "Connection: close"]
        lines.append(f"Authorization: {choose(('Bearer', 'bearer', 'DPoP', 'Basic', ''))} {token}")
        for _ in range(number(4)):
            lines.append(f"{choose(NAMES)}: {self._value()}")
        body = self._random.randbytes(choose((0, 0, 10, 5_000, 200_000)))
        lines.append(f"Content-Length: {len(body)}")
        return "\r\n".join([*lines, "", ""]).encode("utf-8") + body

    def _value(self) -> str:
        size = self._random.choice((0, 3, 30, 3000, 40_000))
        texts = ("a", "é", "%00", ",", ";", "true", "\t", "\x7f")
        return "".join(self._random.choices(texts, k=size))


NAMES = (
    *("DPoP", "Authorization", "X-Request-Id", "X-Policyd-Subject", "Cookie", "Content-Type"),
    *("X-Envoy-Auth-Partial-Body", "X-Envoy-Original-Path", "X-Forwarded-Proto", "Traceparent"),
    *("Te", "Grpc-Timeout", "X-Forwarded-Host", "A"),
)


def test_no_content_opens_anything(whole: Stack) -> None:
    """On the listener where a failure of policyd would let requests pass."""
    noise, before = Noise(SEED), len(whole.upstream.requests)
    told: dict[int, int] = {}
    for _ in range(150):
        data = noise.request(whole.open)
        try:
            answer = raw(whole.open, data)
        except OSError:  # it hung up before all was sent
            continue
        status = int(answer.split(b" ", 2)[1]) if answer else 0
        told[status] = told.get(status, 0) + 1
        assert len(whole.upstream.requests) == before, (SEED, data)
    assert told.keys() >= {400, 403}, (SEED, told)
    # Nothing was wrong with Envoy or the daemon meanwhile.
    assert line(whole.open, "/orders/7") == 200


def test_large_fields_are_decided_about(whole: Stack) -> None:
    """Envoy takes 60 KiB of header fields, and policyd reads them twice: in its message."""
    before = len(whole.upstream.requests)
    fields = [f"A{number}: {'x' * 7000}" for number in range(7)]
    for address in (whole.plain, whole.open):
        assert line(address, "/orders/secret", *fields) == 403
        assert line(address, f"/orders/{'7' * 8000}", *fields) == 200
        assert line(address, f"/orders/{'7' * 9000}", *fields) == 400
    assert len(whole.upstream.requests) == before + 2


@pytest.mark.parametrize("size", [100, 9_000, 20_000, 50_000])
def test_what_a_client_says_of_its_trace_opens_nothing(whole: Stack, size: int) -> None:
    """An Envoy that traces passes `tracestate` on as a header field of its own call."""
    before = len(whole.upstream.requests)
    trace = "Traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
    state = f"Tracestate: a={'x' * size}"
    for _ in range(5):
        assert line(whole.open, "/orders/secret", trace, state) == 403
        assert line(whole.open, "/orders/7", trace, state) == 200
    assert len(whole.upstream.requests) == before + 5


class Load:
    """Sends requests that are to be refused, and others, until it is ended."""

    def __init__(self, whole: Stack) -> None:
        self._whole = whole
        self._over = threading.Event()
        self.told: set[int] = set()
        self._threads = [threading.Thread(target=self._run, args=(name,)) for name in "ab"]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)

    def _run(self, name: str) -> None:
        good, poor = access_token(), access_token(scope="openid")
        asked = (("/orders/secret", good), ("/orders/7", poor), (f"/orders/{name}", None))
        while not self._over.is_set():
            for path, token in asked:
                self.told.add(ask(self._whole.plain, "GET", path, token).status)


def until_allowed(whole: Stack, path: str, *, allowed: bool = True) -> None:
    """Wait until a path may be read, or may not."""
    until = time.monotonic() + PATIENCE
    while (ask(whole.plain, "GET", path, access_token()).status == 200) is not allowed:
        assert time.monotonic() < until, path


def test_nothing_opens_while_policies_change(whole: Stack) -> None:
    reached = [request for request in whole.upstream.requests if "secret" in request[1]]
    with Load(whole) as load:
        for number in range(3):
            whole.site.policy.write_text(
                POLICY.replace('!= "secret"', f'!= "secret" and resource.id != "{number}"')
            )
            until_allowed(whole, f"/orders/{number}", allowed=False)
        whole.site.policy.write_text("api orders { broken")
        assert whole.daemon is not None
        whole.daemon.wait_for_log("the changed policies have errors; the old ones keep serving")
        whole.site.policy.write_text(POLICY)
        until_allowed(whole, "/orders/2")
    assert load.told == {401, 403}
    assert [one for one in whole.upstream.requests if "secret" in one[1]] == reached


def test_nothing_opens_while_the_daemon_is_away(whole: Stack) -> None:
    before = len(whole.upstream.requests)
    with Load(whole) as load:
        for _ in range(2):
            whole.restart()
            until_allowed(whole, "/orders/7")
    assert load.told <= {401, 403, 503}
    reached = {path for _, path, _ in whole.upstream.requests[before:]}
    assert reached == {"/orders/7"}
    assert len(whole.upstream.requests) == before + 2
