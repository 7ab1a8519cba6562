"""P1 and P8: the daemon over its sockets, beside a handler on the same transport that only answers.

Servers stand on one core, the load on another; all are loaded in turn, over each transport.
`python -m bench.transport PORT TRANSPORT` is the other server: it decodes each request and returns
the same response.
"""

from __future__ import annotations

import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from functools import partial
from pathlib import Path

from bench.load import run
from bench.material import COUNT, REVOKED, ROOT, Material
from bench.report import Figure, Row, at_least, at_most, difference, interleaved, ratio
from bench.servers import (
    CHECK,
    TRANSPORTS,
    Server,
    daemon,
    free_port,
    insist_on_allow,
    requests,
    started,
    until_listening,
    until_serving,
)
from policyd.config.limits import Limits
from policyd.pdp.calls import Call, CallFailed, StatusCode
from policyd.server.transport.event import EventTransport
from policyd.server.transport.interface import TransportFactory, Unary
from policyd.server.transport.standard import StandardTransport
from policyd.v1 import authorization_pb2 as messages

IN_FLIGHT = 32
_FACTORIES: dict[str, TransportFactory] = {"event": EventTransport, "standard": StandardTransport}


@contextmanager
def constant(transport: str) -> Iterator[Server]:
    """Run the server that only answers."""
    with tempfile.TemporaryDirectory(prefix="bench-") as name:
        port = free_port()
        command = [sys.executable, "-m", "bench.transport", str(port), transport]
        with started(command, port, Path(name), {"PYTHONPATH": str(ROOT)}) as server:
            yield server


def rows_of_check(material: Material, rounds: int, calls: int) -> list[Row]:
    """P1 and P1e: a warm unary Check beside the constant answer, on both transports in turn."""
    found: dict[tuple[str, str], list[Measured]] = {}
    with ExitStack() as stack:
        servers: dict[tuple[str, str], Server] = {}
        for transport in TRANSPORTS:
            servers[transport, "ours"] = stack.enter_context(daemon(material, transport))
            servers[transport, "theirs"] = stack.enter_context(constant(transport))
        bodies = requests(material.tokens)
        for (_, name), server in servers.items():
            if name == "ours":
                until_serving(server)
                insist_on_allow(server, bodies[0])
            else:
                until_listening(server)
        for number in range(rounds + 1):
            for key, server in servers.items():
                measured = _measure(server, bodies, calls)
                if number:
                    found.setdefault(key, []).append(measured)
    rows = [row for transport in TRANSPORTS for row in _rows_of_transport(transport, found)]
    rates = [_figure(found[name, "ours"], 0, "/s") for name in ("event", "standard")]
    rows.append(Row("P1e", "Check: event / standard, throughput", at_least(1.6), ratio(*rates)))
    return rows


#: Calls a second, CPU microseconds a call, and microseconds of a call alone.
Measured = tuple[float, float, float]
_UNITS = ("/s", "us", "us")


def _measure(server: Server, bodies: list[bytes], calls: int) -> Measured:
    before = server.cpu_seconds()
    busy = run(server.address, CHECK, bodies, calls=calls, in_flight=IN_FLIGHT)
    cost = (server.cpu_seconds() - before) / calls
    alone = run(server.address, CHECK, bodies, calls=max(COUNT, calls // 5))
    return busy.rate, cost * 1e6, alone.mean * 1e6


def _rows_of_transport(
    transport: str, found: dict[tuple[str, str], list[Measured]]
) -> Iterator[Row]:
    ours = [_figure(found[transport, "ours"], index, unit) for index, unit in enumerate(_UNITS)]
    theirs = [_figure(found[transport, "theirs"], index, unit) for index, unit in enumerate(_UNITS)]
    whats = (
        f"{IN_FLIGHT} in flight: throughput",
        "server CPU a call",
        "one at a time: mean latency",
    )
    for what, own, others in zip(whats, ours, theirs, strict=True):
        yield Row("P1", f"{transport}: Check, {what}", None, own)
        yield Row("P1", f"{transport}: constant answer, {what}", None, others)
    yield Row(
        "P1",
        f"{transport}: ratio of the throughputs",
        at_least(0.8) if transport == "standard" else None,
        ratio(ours[0], theirs[0]),
    )
    yield Row(
        "P1", f"{transport}: more CPU a check", at_most(25, "us"), difference(ours[1], theirs[1])
    )
    # In microseconds, since a faster transport makes the ratio worse.
    yield Row(
        "P1",
        f"{transport}: more latency a check, one at a time",
        at_most(35, "us"),
        difference(ours[2], theirs[2]),
    )
    yield Row("P1", f"{transport}: ratio of the latencies", None, ratio(ours[2], theirs[2]))


def _figure(rounds: list[Measured], index: int, unit: str) -> Figure:
    return Figure(tuple(values[index] for values in rounds), unit)


def rows_of_start(material: Material, rounds: int) -> list[Row]:
    """P8: from starting the process to SERVING, as a health probe sees it."""

    def start(*, revoked: bool) -> float:
        begin = time.perf_counter()
        with daemon(material, revoked=revoked) as server:
            until_serving(server)
            return time.perf_counter() - begin

    candidates = {"bare": partial(start, revoked=False), "revoking": partial(start, revoked=True)}
    found = interleaved(candidates, rounds, "s")
    what = f"the same with a list of {REVOKED:,} revocations"
    return [
        Row("P8", "start to SERVING", at_most(1, "s"), found["bare"]),
        Row("P8", what, None, found["revoking"]),
    ]


def answer_constantly(port: int, name: str) -> None:
    """Serve Check with one and the same answer, all of whose fields are set."""
    answer = messages.CheckResponse(
        allowed=True,
        reason="ALLOWED",
        message="allowed by reads",
        rules=["reads"],
        http_status=200,
        subject=messages.Subject(
            subject="auth0|00000000",
            issuer="https://bench.example.com/",
            client="bench_client_id",
        ),
        decision_id="AAAAAAAAAAAAAAAA-1",
        policy_revision="0" * 64,
    )
    answer.cacheable_until.FromSeconds(int(time.time()) + 5)
    encoded = answer.SerializeToString()

    def handler(body: bytes, _: Call) -> bytes:
        messages.CheckRequest.FromString(body)
        return encoded

    surplus = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "too many streams")
    transport = _FACTORIES[name]({CHECK.path: Unary(handler)}, Limits(), surplus)
    transport.bind(f"127.0.0.1:{port}")
    transport.start()
    while True:
        time.sleep(3600)


if __name__ == "__main__":
    answer_constantly(int(sys.argv[1]), sys.argv[2])
