"""A warm check in the process of the service, beside a call of the daemon, in turn.

Both have the same policies, revocations and questions, and write a decision log. The calls go one
at a time: it is what one request of a service waits for. The process that asks has one core, with
the thread of its decision log; the daemon has the other.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from functools import partial

from bench.load import run
from bench.material import API, COUNT, Material
from bench.report import Row, at_least, interleaved, ratio
from bench.servers import CHECK, daemon, insist_on_allow, requests, until_serving
from policyd.embedded import Embedded

#: What the service asks about, as `bench.servers.requests` does.
_CONTEXT = {"ip": "192.0.2.7"}


def rows_of_embedded(material: Material, rounds: int, calls: int) -> list[Row]:
    """What a check costs in the process, beside the latency of a call alone."""
    number = max(COUNT, calls // 5)
    with ExitStack() as stack:
        server = stack.enter_context(daemon(material, "event"))
        until_serving(server)
        bodies = requests(material.tokens)
        insist_on_allow(server, bodies[0])
        pdp = stack.enter_context(Embedded.open(server.folder / "policyd.toml"))

        def call() -> float:
            return run(server.address, CHECK, bodies, calls=number).mean * 1e6

        found = interleaved(
            {"call": call, "check": partial(_check, pdp, material, number)}, rounds, "us"
        )
    return [
        Row("embedded", "a call of the daemon, one at a time: mean latency", None, found["call"]),
        Row("embedded", "Embedded.check, the decision log included", None, found["check"]),
        Row(
            "embedded",
            "a call of the daemon / Embedded.check",
            at_least(5),
            ratio(found["call"], found["check"]),
        ),
    ]


def _check(pdp: Embedded, material: Material, number: int) -> float:
    """Return the mean of `number` checks, in microseconds, over all tokens and resources."""
    asked = [
        (token, ("patient", f"p{place}", {"sealed": False}))
        for place, token in enumerate(material.tokens)
    ]
    rounds = number // COUNT
    allowed = True
    began = time.perf_counter()
    for _ in range(rounds):
        for token, resource in asked:
            answer = pdp.check(token, api=API, action="read", resource=resource, context=_CONTEXT)
            allowed = allowed and answer.allowed
    seconds = time.perf_counter() - began
    if not allowed:
        raise RuntimeError("it denies the benchmark's question")
    return seconds * 1e6 / (rounds * COUNT)
