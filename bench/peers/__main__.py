"""P2: policyd beside Cerbos and OPA, in one run: `python -m bench.peers [--json FILE]`.

Each verifies the same tokens and answers the same question, on one core; the load stands on the
other. A peer that denies what it should allow, or allows what it should deny, is not measured.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path

import msgspec
from rich.console import Console

from bench.load import LoadError, Measured, run
from bench.material import COUNT, Material
from bench.peers.install import NotInstalled, opa_envoy
from bench.peers.over_http import rows_of_http
from bench.peers.servers import Peer, cerbos, opa, policyd
from bench.peers.through_envoy import rows_of_envoy
from bench.process import rows_of_engine
from bench.report import (
    Curve,
    Figure,
    Finding,
    Row,
    at_least,
    at_most,
    command,
    machine,
    percentile,
    ratio,
    results,
    show,
    write,
)
from bench.servers import CHECK, LOAD_CORE, Server, daemon, requests, until_serving

IN_FLIGHT = 32
OURS = "policyd, event"
BARE = "policyd without revocations"
#: The newest Cerbos has no cache of verified tokens any more; the last that has is faster.
PEERS: dict[str, Callable[[], Peer]] = {
    "Cerbos 0.51.0": lambda: cerbos("0.51.0"),
    "Cerbos": lambda: cerbos("latest"),
    "OPA": opa,
}
SHARES = (0.01, 0.05, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.95, 0.99, 0.995, 0.999)
NOTE = (
    "1,000 tokens x 1,000 resources in rotation, RS256; each peer with its defaults and what it "
    "has of caches for verified tokens; policyd with its decision log to a file, metrics, and "
    "100,000 revocations. gRPC, but OPA over plain HTTP/2. The engines in process get no token."
)


class Round(msgspec.Struct, frozen=True):
    """Calls a second, and latencies in milliseconds: 32 in flight, and one at a time."""

    busy: Measured
    alone: Measured


def main() -> None:
    options = _options()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    facts = machine()
    found: list[Finding] = []
    missing: list[str] = []
    peers: list[Peer] = [policyd("event"), policyd("standard")]
    everything = not (options.through_envoy or options.over_http)
    wanted = PEERS if everything else {}
    for name, make in wanted.items():
        try:
            peers.append(make())
        except NotInstalled as why:
            missing.append(f"{name} is not here: {why}")
            found.append(Row("P2", f"policyd / {name}: throughput", at_least(2), None, str(why)))
    if options.install:
        try:
            opa_envoy()
        except NotInstalled as why:
            missing.append(str(why))
        print("\n".join([*(peer.name for peer in peers), *missing]))
        return
    os.sched_setaffinity(0, LOAD_CORE)
    console = Console()
    console.width = max(console.width, 140)
    material = Material()
    if everything or options.through_envoy:
        with console.status("measuring through Envoy"):
            found += rows_of_envoy(material, options.rounds, options.calls)
    if everything or options.over_http:
        with console.status("measuring over HTTP"):
            found += rows_of_http(material, options.rounds, options.calls)
    if everything:
        with console.status("measuring P2"):
            found += rows_of_peers(material, peers, options.rounds, options.calls)
        with console.status("measuring P4"):
            found += rows_of_engine(material, options.rounds)
    measured = results(command("bench.peers", sys.argv[1:]), facts, found)
    show(measured, console)
    console.print(NOTE, highlight=False, soft_wrap=True)
    if options.json:
        write(measured, options.json)


def rows_of_peers(
    material: Material, peers: Sequence[Peer], rounds: int, calls: int
) -> list[Finding]:
    """Measure all in turn; return figures, ratios to policyd, and curves."""
    found: dict[str, list[Round]] = {}
    rows: list[Finding] = []
    resident: dict[str, Figure] = {}
    with ExitStack() as stack:
        servers: dict[str, Server] = {}
        bodies: dict[str, list[bytes]] = {}
        for peer in peers:
            try:
                servers[peer.name] = stack.enter_context(peer.start(material))
                insist(peer, servers[peer.name], material.tokens)
            except (LoadError, RuntimeError, OSError) as error:
                rows.append(Row("P2", f"{peer.name}: its answers", None, None, str(error)))
                continue
            bodies[peer.name] = peer.ask(material.tokens, False)
            found[peer.name] = []
        for number in range(rounds + 1):
            for peer in peers:
                if peer.name not in found:
                    continue
                measured = _measure(servers[peer.name], peer, bodies[peer.name], calls)
                if number:
                    found[peer.name].append(measured)
        for name in found:
            server = servers[name]
            resident[name] = Figure((server.resident_megabytes(),), "MB")
    resident[BARE] = _resident(material, calls)
    for name, rounds_of_it in found.items():
        rows += _rows(name, rounds_of_it, resident[name])
        rows += _curves(name, rounds_of_it)
    for name in found:
        if not name.startswith("policyd"):
            rows += _ratios(name, found, resident)
    return rows


def _resident(material: Material, calls: int) -> Figure:
    """Return what policyd takes after the same load, without the revocations that no peer knows."""
    bodies = requests(material.tokens)
    with daemon(material, revoked=False) as server:
        until_serving(server)
        run(server.address, CHECK, bodies, calls=calls, in_flight=IN_FLIGHT)
        return Figure((server.resident_megabytes(),), "MB")


def insist(peer: Peer, server: Server, tokens: Sequence[str]) -> None:
    """Prove that a peer allows an open record, and denies a sealed one and a forged token."""
    denial = peer.method._replace(expected=peer.denial)
    run(server.address, peer.method, peer.ask(tokens[:1], False), calls=1)
    run(server.address, denial, peer.ask(tokens[:1], True), calls=1)
    head, _, signature = tokens[0].rpartition(".")
    forged = f"{head}.{'A' * len(signature)}"
    try:
        run(server.address, peer.method, peer.ask([forged], False), calls=1)
    except LoadError:
        return
    raise RuntimeError(f"{peer.name} lets a forged token pass")


def _measure(server: Server, peer: Peer, bodies: list[bytes], calls: int) -> Round:
    return Round(
        run(server.address, peer.method, bodies, calls=calls, in_flight=IN_FLIGHT),
        run(server.address, peer.method, bodies, calls=max(COUNT, calls // 5)),
    )


_QUANTITIES: tuple[tuple[str, str, Callable[[Round], float]], ...] = (
    (f"throughput, {IN_FLIGHT} in flight", "/s", lambda one: one.busy.rate),
    (f"p50, {IN_FLIGHT} in flight", "ms", lambda one: _milliseconds(one.busy, 0.5)),
    (f"p99, {IN_FLIGHT} in flight", "ms", lambda one: _milliseconds(one.busy, 0.99)),
    ("p50, one at a time", "ms", lambda one: _milliseconds(one.alone, 0.5)),
    ("p99, one at a time", "ms", lambda one: _milliseconds(one.alone, 0.99)),
)


def _milliseconds(measured: Measured, share: float) -> float:
    return percentile(measured.latencies, share) * 1000


def _figures(rounds: Sequence[Round]) -> list[Figure]:
    return [Figure(tuple(read(one) for one in rounds), unit) for _, unit, read in _QUANTITIES]


def _rows(name: str, rounds: Sequence[Round], resident: Figure) -> list[Row]:
    rows = [
        Row("P2", f"{name}: {what}", None, figure)
        for (what, _, _), figure in zip(_QUANTITIES, _figures(rounds), strict=True)
    ]
    return [*rows, Row("P2", f"{name}: resident afterwards", None, resident)]


def _ratios(name: str, found: dict[str, list[Round]], resident: dict[str, Figure]) -> list[Row]:
    rows: list[Row] = []
    ours, theirs = _figures(found[OURS]), _figures(found[name])
    for (what, unit, _), own, other in zip(_QUANTITIES, ours, theirs, strict=True):
        target = at_least(2) if unit == "/s" else at_most(1)
        rows.append(Row("P2", f"policyd / {name}: {what}", target, ratio(own, other)))
    memory = ratio(resident[BARE], resident[name])
    bound = at_most(1) if name.startswith("Cerbos") else None
    what = f"policyd / {name}: resident afterwards, without revocations"
    rows.append(Row("P7", what, bound, memory))
    return rows


def _curves(name: str, rounds: Sequence[Round]) -> list[Curve]:
    rate = _figures(rounds)[0].median
    busy = sorted(value for one in rounds for value in one.busy.latencies)
    alone = sorted(value for one in rounds for value in one.alone.latencies)
    return [
        Curve("throughput", name, ((0.0, rate),)),
        Curve("busy", name, _distribution(busy)),
        Curve("alone", name, _distribution(alone)),
    ]


def _distribution(latencies: Sequence[float]) -> tuple[tuple[float, float], ...]:
    """Return pairs of a share in percent and a latency in milliseconds."""
    return tuple((share * 100, percentile(latencies, share) * 1000) for share in SHARES)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m bench.peers", description=__doc__)
    parser.add_argument("--install", action="store_true", help="only fetch the peers")
    parser.add_argument("--through-envoy", action="store_true", help="only what is asked by Envoy")
    parser.add_argument("--over-http", action="store_true", help="only what is asked over HTTP/1.1")
    parser.add_argument("--rounds", type=int, default=5, help="of each candidate, in turn")
    parser.add_argument("--calls", type=int, default=20_000, help="in one round")
    parser.add_argument("--json", type=Path, help="also write the figures to this file")
    return parser.parse_args()


if __name__ == "__main__":
    main()
