"""Questions over HTTP/1.1: AuthZEN and Connect of policyd, beside Cerbos's and OPA's own APIs.

Each verifies the same tokens and answers the same question on one core; the load stands on the
other, with 32 connections. Cerbos and OPA are asked in the JSON of their own APIs.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager

import msgspec

from bench.load import LoadError, Measured, Method, run
from bench.material import API, Material
from bench.peers import install
from bench.peers.http_load import Plain, posts
from bench.peers.servers import cerbos_at, opa
from bench.report import Figure, Finding, Row, at_least, percentile, ratio
from bench.servers import Server, daemon, free_port, requests, until_serving

CONNECTIONS = 32
AUTHZEN, JSON, PROTO = "policyd, AuthZEN", "policyd, Connect JSON", "policyd, Connect proto"
Ask = Callable[[Sequence[str], bool], list[bytes]]


class Candidate(msgspec.Struct, frozen=True):
    """One server and one API of it; `ask` makes requests of tokens, about records sealed or not."""

    name: str
    start: Callable[[Material], AbstractContextManager[Server]]
    expected: bytes
    denial: bytes
    ask: Ask


class Round(msgspec.Struct, frozen=True):
    """A round of requests, and the processor seconds that the server took for them."""

    measured: Measured
    seconds: float


@contextmanager
def policyd(material: Material) -> Iterator[Server]:
    """Run the daemon with one listener over HTTP."""
    port = free_port()
    listener = {"address": f"127.0.0.1:{port}", "services": ["authzen", "connect"]}
    environment = {
        "POLICYD_SERVER__DEFAULT_API": API,
        "POLICYD_LISTENERS": json.dumps([listener]),
    }
    with daemon(material, environment=environment) as server:
        until_serving(server)
        server.address = ("127.0.0.1", port)
        yield server


def candidates() -> Iterator[Candidate | Row]:
    """Yield all that can be had here, and for each that cannot a row that says why."""
    yield Candidate(AUTHZEN, policyd, b'"decision":true', b'"decision":false', _authzen)
    check = "/policyd.v1.AuthorizationService/Check"
    yield Candidate(JSON, policyd, b'"allowed": true', b'"reason": "INSUFFICIENT', _connect(check))
    yield Candidate(
        PROTO,
        policyd,
        b"ALLOWED",
        b"INSUFFICIENT",
        lambda tokens, sealed: posts(check, requests(tokens, sealed=sealed), "application/proto"),
    )
    for name, make in _PEERS.items():
        try:
            yield make()
        except install.NotInstalled as why:
            yield Row(
                "P2", f"{AUTHZEN} / {name}: throughput over HTTP", at_least(1), None, str(why)
            )


def _cerbos(version: str) -> Candidate:
    name, start = cerbos_at(version, "HTTP_PORT")
    return Candidate(f"{name}, HTTP", start, b"EFFECT_ALLOW", b"EFFECT_DENY", _check_resources)


def _opa() -> Candidate:
    peer = opa()

    def ask(tokens: Sequence[str], sealed: bool) -> list[bytes]:
        return posts(peer.method.path, peer.ask(tokens, sealed))

    return Candidate(f"{peer.name}, HTTP", peer.start, peer.method.expected, peer.denial, ask)


_PEERS: dict[str, Callable[[], Candidate]] = {
    "Cerbos 0.51.0": lambda: _cerbos("0.51.0"),
    "Cerbos": lambda: _cerbos("latest"),
    "OPA": _opa,
}


def _authzen(tokens: Sequence[str], sealed: bool) -> list[bytes]:
    return posts(
        "/access/v1/evaluation",
        [
            _json(
                {
                    "subject": {"type": "access_token", "id": token},
                    "action": {"name": "read"},
                    "resource": {
                        "type": "patient",
                        "id": f"p{number}",
                        "properties": {"sealed": sealed},
                    },
                    "context": {"ip": "192.0.2.7"},
                }
            )
            for number, token in enumerate(tokens)
        ],
    )


def _connect(path: str) -> Ask:
    def ask(tokens: Sequence[str], sealed: bool) -> list[bytes]:
        bodies = [
            _json(
                {
                    "accessToken": token,
                    "api": API,
                    "action": "read",
                    "resource": {
                        "type": "patient",
                        "id": f"p{number}",
                        "properties": {"sealed": sealed},
                    },
                    "context": {"ip": "192.0.2.7"},
                }
            )
            for number, token in enumerate(tokens)
        ]
        return posts(path, bodies)

    return ask


def _check_resources(tokens: Sequence[str], sealed: bool) -> list[bytes]:
    return posts(
        "/api/check/resources",
        [
            _json(
                {
                    "requestId": str(number),
                    "principal": {"id": "caller", "roles": ["caller"]},
                    "resources": [
                        {
                            "actions": ["read"],
                            "resource": {
                                "kind": "patient",
                                "id": f"p{number}",
                                "attr": {"sealed": sealed},
                            },
                        }
                    ],
                    "auxData": {"jwt": {"token": token, "keySetId": "bench"}},
                }
            )
            for number, token in enumerate(tokens)
        ],
    )


def _json(value: object) -> bytes:
    return json.dumps(value, separators=(",", ":")).encode()


def rows_of_http(material: Material, rounds: int, calls: int) -> list[Finding]:
    """Measure all in turn; return figures, and ratios to AuthZEN and to Connect's protobuf."""
    rows: list[Finding] = []
    found: dict[str, list[Round]] = {}
    with ExitStack() as stack:
        running: list[tuple[Candidate, Server, list[bytes]]] = []
        for one in candidates():
            if isinstance(one, Row):
                rows.append(one)
                continue
            try:
                server = stack.enter_context(one.start(material))
                insist(one, server, material.tokens)
            except (LoadError, RuntimeError, OSError) as error:
                rows.append(Row("P2", f"{one.name}: its answers", None, None, str(error)))
                continue
            running.append((one, server, one.ask(material.tokens, False)))
        for number in range(rounds + 1):
            for one, server, messages in running:
                before = server.cpu_seconds()
                measured = _send(one, server, messages, calls, CONNECTIONS)
                if number:
                    measure = Round(measured, server.cpu_seconds() - before)
                    found.setdefault(one.name, []).append(measure)
    for name, all_of_it in found.items():
        rows += _rows(name, all_of_it)
    return [*rows, *_ratios(found)]


def insist(one: Candidate, server: Server, tokens: Sequence[str]) -> None:
    """Prove that an open record is allowed, and a sealed one and a forged token are not."""
    _send(one, server, one.ask(tokens[:1], False), 1, 1)
    _send(
        msgspec.structs.replace(one, expected=one.denial), server, one.ask(tokens[:1], True), 1, 1
    )
    head, _, signature = tokens[0].rpartition(".")
    try:
        _send(one, server, one.ask([f"{head}.{'A' * len(signature)}"], False), 1, 1)
    except LoadError:
        return
    raise RuntimeError(f"{one.name} lets a forged token pass")


def _send(
    one: Candidate, server: Server, messages: Sequence[bytes], calls: int, connections: int
) -> Measured:
    method = Method("", one.expected, grpc=False)
    return run(
        server.address, method, messages, calls=calls, connections=connections, connect=Plain
    )


def _rows(name: str, rounds: Sequence[Round]) -> list[Row]:
    slowest = tuple(percentile(one.measured.latencies, 0.99) * 1000 for one in rounds)
    costs = tuple(one.seconds / one.measured.calls * 1e6 for one in rounds)
    about = f"{name}: "
    return [
        Row("P2", f"{about}requests over {CONNECTIONS} connections", None, _rates(rounds)),
        Row("P2", f"{about}p99 over {CONNECTIONS} connections", None, Figure(slowest, "ms")),
        Row("P2", f"{about}processor time a request over HTTP", None, Figure(costs, "us")),
    ]


def _rates(rounds: Sequence[Round]) -> Figure:
    return Figure(tuple(one.measured.rate for one in rounds), "/s")


def _served(rounds: Sequence[Round]) -> Figure:
    return Figure(tuple(one.measured.calls / one.seconds for one in rounds), "/s")


def _ratios(found: dict[str, list[Round]]) -> Iterator[Row]:
    peers = [name for name in found if not name.startswith("policyd")]
    for ours in (AUTHZEN, PROTO):
        for name in peers if ours in found else ():
            target = at_least(1) if ours == AUTHZEN else None
            own, other = found[ours], found[name]
            rates = ratio(_rates(own), _rates(other))
            yield Row("P2", f"{ours} / {name}: requests a second on one core", target, rates)
            served = ratio(_served(own), _served(other))
            yield Row("P2", f"{ours} / {name}: requests a processor second", target, served)
