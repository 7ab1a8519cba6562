"""P9, P10, and what half-open calls of some do to the calls of others."""

from __future__ import annotations

import os
import signal
import socket
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from functools import partial

import grpc

from bench.load import (
    END_HEADERS,
    HEADERS,
    PREFACE,
    SETTINGS,
    LoadError,
    frame,
    header_blocks,
    run,
)
from bench.material import COUNT, Material
from bench.report import Figure, Row, at_least, at_most, interleaved, percentile, ratio
from bench.servers import (
    BATCH_CHECK,
    CHECK,
    CORES,
    TRANSPORTS,
    TWO_CORES,
    Server,
    batches,
    channel_of_its_own,
    daemon,
    insist_on_allow,
    requests,
    until_serving,
    until_workers_answer,
    workers_of,
)
from bench.transport import IN_FLIGHT

BATCH = 100
CONNECTIONS = 16
HALF_OPEN = 64
PATIENCE = 2.0
#: Seconds after which callers are asked to connect again, and until all have done so twice: gRPC
#: adds up to a tenth by chance.
AGE, AGED = 2.0, 6.0


def rows_of_batches(material: Material, rounds: int, calls: int) -> list[Row]:
    """P9: decisions a second in batches beside those of single calls, over each transport."""
    rows: list[Row] = []
    for transport in TRANSPORTS:
        with daemon(material, transport) as server:
            until_serving(server)
            rows += _batches(transport, server, material, rounds, calls)
    return rows


def _batches(
    transport: str, server: Server, material: Material, rounds: int, calls: int
) -> list[Row]:
    single, grouped = requests(material.tokens), batches(material.tokens[: COUNT // 10], BATCH)
    insist_on_allow(server, single[0])

    def unary() -> float:
        return run(server.address, CHECK, single, calls=calls, in_flight=IN_FLIGHT).rate

    def batch() -> float:
        count = max(COUNT // 10, calls // 20)
        measured = run(server.address, BATCH_CHECK, grouped, calls=count, in_flight=4)
        return measured.rate * BATCH

    found = interleaved({"unary": unary, "batch": batch}, rounds, "/s")
    faster = ratio(found["batch"], found["unary"])
    return [
        Row("P9", f"{transport}: decisions in calls of their own", None, found["unary"]),
        Row("P9", f"{transport}: decisions in batches of {BATCH}", None, found["batch"]),
        Row("P9", f"{transport}: batches / single calls", at_least(15), faster),
    ]


def rows_of_workers(material: Material, rounds: int, calls: int) -> list[Row]:
    """P10: two workers beside one, on two cores, over many connections."""
    bodies = requests(material.tokens)
    with (
        daemon(material, workers=1, cores=TWO_CORES) as one,
        daemon(material, workers=2, cores=TWO_CORES) as two,
    ):
        until_serving(one)
        until_workers_answer(two, bodies[0], 2)
        for server in (one, two):
            insist_on_allow(server, bodies[0])

        def rate(server: Server) -> float:
            measured = run(
                server.address, CHECK, bodies, calls=calls, connections=CONNECTIONS, in_flight=4
            )
            return measured.rate

        candidates = {"one": partial(rate, one), "two": partial(rate, two)}
        found = interleaved(candidates, rounds, "/s")
    note = "" if CORES > 2 else "the load has no core of its own, so this says little"
    return [
        Row("P10", "one worker on two cores", None, found["one"]),
        Row("P10", "two workers on two cores", None, found["two"]),
        Row("P10", "two / one", at_least(1.8), ratio(found["two"], found["one"]), note),
    ]


def rows_of_spread(material: Material, rounds: int) -> list[Row]:
    """P10: the share of connections that the busier one of two workers has; a half is the least."""
    at_start, replaced = _spread(material, rounds, {}, 0.0)
    age = {"POLICYD_SERVER__MAX_CONNECTION_AGE": str(AGE)}
    _, aged = _spread(material, rounds, age, AGED)
    what = f"share of {CONNECTIONS} connections on the busier of two workers"
    return [
        Row("P10", f"{what}, at the start", None, at_start),
        Row("P10", f"{what}, after the other one was replaced", None, replaced),
        Row("P10", f"{what}, and with max_connection_age = {AGE:g} s", at_most(0.85), aged),
    ]


def _spread(
    material: Material, rounds: int, environment: dict[str, str], wait: float
) -> tuple[Figure, Figure]:
    """Return the share at the start, and `wait` seconds after a worker was replaced."""
    before, after = [], []
    for _ in range(rounds):
        with (
            daemon(material, workers=2, cores=TWO_CORES, environment=environment) as server,
            ExitStack() as connected,
        ):
            body = requests(material.tokens)[0]
            until_workers_answer(server, body, 2)
            channels = [
                connected.enter_context(channel_of_its_own(server)) for _ in range(CONNECTIONS)
            ]
            workers = workers_of(channels, body)
            before.append(_share(workers))
            os.kill(server.children()[0], signal.SIGKILL)
            for channel in channels:  # whose callers go on calling, and connect to the other one
                with suppress(grpc.RpcError):
                    workers_of([channel], body)
            until_workers_answer(server, body, 2, before=workers.keys())
            end = time.monotonic() + wait
            while time.monotonic() < end:  # a channel without calls does not connect again
                workers_of(channels, body)
                time.sleep(0.1)
            after.append(_share(workers_of(channels, body)))
    return Figure(tuple(before), "x"), Figure(tuple(after), "x")


def _share(workers: Counter[str]) -> float:
    return max(workers.values()) / workers.total()


def rows_of_protection(material: Material, rounds: int, calls: int) -> list[Row]:
    """Calls beside 64 that have sent their headers and no message."""
    rows: list[Row] = []
    for transport in TRANSPORTS:
        with daemon(material, transport) as server:
            until_serving(server)
            bodies = requests(material.tokens)
            insist_on_allow(server, bodies[0])
            rows += _protection(transport, server, bodies, rounds, calls)
    return rows


def _protection(
    transport: str, server: Server, bodies: list[bytes], rounds: int, calls: int
) -> list[Row]:
    def p99() -> float:
        measured = run(server.address, CHECK, bodies, calls=calls // 2, in_flight=IN_FLIGHT)
        return percentile(measured.latencies, 0.99) * 1000

    def beside_half_open() -> float:
        with half_open(server.address, HALF_OPEN):
            return p99()

    what = f"{transport}: p99 beside {HALF_OPEN} half-open calls / quiet"
    try:
        with half_open(server.address, HALF_OPEN):
            run(server.address, CHECK, bodies, calls=10, patience=PATIENCE)
    except LoadError as error:
        return [Row("half-open", what, at_most(2), None, f"others starve: {error}", failed=True)]
    found = interleaved({"quiet": p99, "beside": beside_half_open}, rounds, "ms")
    return [
        Row("half-open", f"{transport}: p99 quiet, {IN_FLIGHT} in flight", None, found["quiet"]),
        Row("half-open", what, at_most(2), ratio(found["beside"], found["quiet"])),
    ]


@contextmanager
def half_open(address: tuple[str, int], count: int) -> Iterator[None]:
    """Hold so many calls that have sent their headers, until the block ends."""
    with socket.create_connection(address, timeout=10) as held:
        out = bytearray(PREFACE + frame(SETTINGS, 0, 0, b""))
        for number in range(count):
            out += frame(HEADERS, END_HEADERS, 2 * number + 1, header_blocks(CHECK)[0])
        held.sendall(out)
        time.sleep(0.2)  # until the server has taken them in
        yield
