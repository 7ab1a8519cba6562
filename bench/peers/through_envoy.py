"""Requests through Envoy: with policyd, with Rego in Go, and with nobody asked.

The authorizer has one core for itself; Envoy and the load share the other, so what is measured of
throughput is bounded by those two. What an authorizer costs is its processor time a request.
"""

from __future__ import annotations

import json
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench.load import LoadError, Measured, Method, run
from bench.material import API, AUDIENCE, ISSUER, Material
from bench.peers import install
from bench.peers.envoy_load import Clients, blocks
from bench.report import Figure, Finding, Row, at_least, percentile, ratio
from bench.servers import (
    LOAD_CORE,
    Server,
    daemon,
    free_port,
    started,
    until_listening,
    until_serving,
)

HERE = Path(__file__).resolve().parent
IN_FLIGHT = 32
OURS, REGO, NOBODY = "policyd", "Rego in Go", "nobody asked"
_REACHED = Method("/", b"reached", grpc=False)
Start = Callable[[Material], AbstractContextManager[Server]]


class Round(msgspec.Struct, frozen=True):
    """A round of requests, and the processor seconds that the authorizer took for them."""

    measured: Measured
    seconds: float


@contextmanager
def policyd(material: Material) -> Iterator[Server]:
    environment = {
        "POLICYD_SERVER__DEFAULT_API": API,
    }
    port = free_port()
    listener = [{"address": f"127.0.0.1:{port}", "services": ["envoy"]}]
    environment["POLICYD_LISTENERS"] = json.dumps(listener)
    with daemon(
        material, policies=HERE / "envoy", revoked=False, environment=environment
    ) as server:
        until_serving(server)
        server.address = ("127.0.0.1", port)
        yield server


@contextmanager
def rego(material: Material) -> Iterator[Server]:
    """Run OPA's engine behind Envoy's protocol. Raises `install.NotInstalled`."""
    program = install.opa_envoy()
    with tempfile.TemporaryDirectory(prefix="bench-rego-") as name:
        folder, port = Path(name), free_port()
        shutil.copy(HERE / "envoy" / "authz.rego", folder)
        data = {"keys": material.key_set.decode(), "issuer": ISSUER, "audience": AUDIENCE}
        (folder / "data.json").write_text(json.dumps(data), encoding="utf-8")
        command = [str(program), f"127.0.0.1:{port}", "authz.rego", "data.json"]
        with started(command, port, folder) as server:
            until_listening(server)
            yield server


@contextmanager
def envoy(asked: Server | None) -> Iterator[Server]:
    """Run Envoy before an authorizer, on the core of the load."""
    program = Path(sys.executable).with_name("envoy")
    if not program.exists():
        raise install.NotInstalled("envoy is not installed: it is in the development group")
    port, authorizer = free_port(), free_port() if asked is None else asked.address[1]
    text = (HERE / "envoy" / "envoy.yaml").read_text(encoding="utf-8")
    text = text.replace("LISTEN", str(port)).replace("AUTHORIZER", str(authorizer))
    text = text.replace("DISABLED", str(asked is None).lower())
    with tempfile.TemporaryDirectory(prefix="bench-envoy-") as name:
        folder = Path(name)
        (folder / "envoy.yaml").write_text(text, encoding="utf-8")
        command = [str(program), "-c", "envoy.yaml", "--concurrency", "1"]
        command += ["--disable-hot-restart", "--log-level", "error"]
        with started(command, port, folder, cores=LOAD_CORE) as server:
            until_listening(server)
            yield server


def rows_of_envoy(material: Material, rounds: int, calls: int) -> list[Finding]:
    """Measure all in turn; return figures, and the ratio of what the authorizers cost."""
    found: dict[str, list[Round]] = {}
    rows: list[Finding] = []
    starts: dict[str, Start | None] = {OURS: policyd, REGO: rego, NOBODY: None}
    with ExitStack() as stack:
        running: dict[str, tuple[Server, Server | None]] = {}
        for name, start in starts.items():
            try:
                asked = None if start is None else stack.enter_context(start(material))
                front = stack.enter_context(envoy(asked))
                if asked is not None:
                    insist(front, material.tokens)
                running[name] = front, asked
            except (LoadError, RuntimeError, OSError, install.NotInstalled) as why:
                rows.append(Row("P2", f"Envoy with {name}", None, None, str(why)))
        requests = blocks(material.tokens)
        for number in range(rounds + 1):
            for name, (front, asked) in running.items():
                one = _round(front, asked, requests, calls)
                if number:
                    found.setdefault(name, []).append(one)
    for name, all_of_it in found.items():
        rows += _rows(name, all_of_it)
    if found.keys() >= {OURS, REGO}:
        what = f"Envoy: requests a processor second, policyd / {REGO}"
        rows.append(Row("P2", what, at_least(2), ratio(_served(found[OURS]), _served(found[REGO]))))
    return rows


def insist(front: Server, tokens: Sequence[str]) -> None:
    """Prove that an open record is reached, and a sealed one and a forged token are not."""
    _ask(front, blocks(tokens[:1]))
    head, _, signature = tokens[0].rpartition(".")
    for refused in (
        blocks(tokens[:1], sealed=True),
        blocks([f"{head}.{'A' * len(signature)}"]),
    ):
        try:
            _ask(front, refused)
        except LoadError:
            continue
        raise RuntimeError("what should be refused is let pass")


def _ask(front: Server, requests: Sequence[bytes], calls: int = 1, in_flight: int = 1) -> Measured:
    return run(front.address, _REACHED, requests, calls=calls, in_flight=in_flight, connect=Clients)


def _round(front: Server, asked: Server | None, requests: Sequence[bytes], calls: int) -> Round:
    before = 0.0 if asked is None else asked.cpu_seconds()
    measured = _ask(front, requests, calls, IN_FLIGHT)
    return Round(measured, 0.0 if asked is None else asked.cpu_seconds() - before)


def _served(rounds: Sequence[Round]) -> Figure:
    return Figure(tuple(one.measured.calls / one.seconds for one in rounds), "/s")


def _rows(name: str, rounds: Sequence[Round]) -> list[Row]:
    rates = tuple(one.measured.rate for one in rounds)
    slowest = tuple(percentile(one.measured.latencies, 0.99) * 1000 for one in rounds)
    rows = [
        Row("P2", f"Envoy with {name}: requests, {IN_FLIGHT} in flight", None, Figure(rates, "/s")),
        Row("P2", f"Envoy with {name}: p99, {IN_FLIGHT} in flight", None, Figure(slowest, "ms")),
    ]
    if all(one.seconds for one in rounds):
        costs = tuple(one.seconds / one.measured.calls * 1e6 for one in rounds)
        what = f"Envoy with {name}: processor time of the authorizer a request"
        rows.append(Row("P2", what, None, Figure(costs, "us")))
    return rows
