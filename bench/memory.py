"""P7: what the daemon keeps in memory: at rest, under load, and over a great many tokens.

Each of the many tokens is another one, is verified, enters the cache and drives an older one out.
They are signed with EdDSA, since signing a million with RSA takes a quarter of an hour.
"""

from __future__ import annotations

import gc
import os
import time
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench.load import run
from bench.material import API, AUDIENCE, COUNT, REVOKED, ROOT, Material
from bench.process import validator
from bench.reload import RULES_IN_FILE, base_text, rules_text
from bench.report import Figure, Row, at_most
from bench.servers import (
    CHECK,
    Server,
    daemon,
    insist_on_allow,
    requests,
    until_serving,
    until_workers_answer,
)
from bench.transport import IN_FLIGHT
from policyd.diagnostics import Source
from policyd.language import load
from policyd.program import compile_policies
from policyd.tokens.model import ResourceServer

SAMPLES = ROOT / "policies"
MANY = 200_000
MILLION = 1_000_000
PORTION = 10_000
#: The cache holds 10,000 by default, so from here on each new token drives one out.
FULL = 20_000
WARM = 20_000
RULE_FILES = 20


def rows_of_memory(material: Material, many: int) -> list[Row]:
    """P7. `many` is the number of distinct tokens."""
    rested, warm = _resident(material, revoked=False)
    _, revoking = _resident(material, revoked=True)
    entry = (revoking.median - warm.median) * 1024 * 1024 / REVOKED
    filled, end = _over_many_tokens(many)
    flat = Figure((end.median / filled.median,), "x")
    return [
        Row("P7", "resident with the sample policies, at rest", at_most(75, "MB"), rested),
        Row("P7", f"the same after {WARM:,} checks of {COUNT:,} tokens", at_most(75, "MB"), warm),
        Row("P7", f"and with a list of {REVOKED:,} revocations", None, revoking),
        Row("P7", f"after {FULL:,} distinct tokens: the cache is full", None, filled),
        Row("P7", f"after {many:,} distinct tokens", None, end),
        Row("P7", f"{many:,} / {FULL:,}: flat", at_most(1.05), flat),
        Row("P7", "a cached token", None, Figure((_bytes_per_token(material),), "B")),
        Row("P7", "a revocation", None, Figure((entry,), "B")),
        *_of_workers(material),
        Row("P7", "a rule, loaded and compiled", None, Figure((_bytes_per_rule(),), "B")),
    ]


def _resident(material: Material, *, revoked: bool) -> tuple[Figure, Figure]:
    with daemon(material, policies=SAMPLES, revoked=revoked) as server:
        until_serving(server)
        rested = _megabytes(server)
        bodies = requests(material.tokens)
        insist_on_allow(server, bodies[0])
        run(server.address, CHECK, bodies, calls=WARM, in_flight=IN_FLIGHT)
        return rested, _megabytes(server)


def _of_workers(material: Material) -> Iterator[Row]:
    """What a second worker adds: pages that no other process has (`Private_…`, proc(5))."""
    for revoked, what in (
        (False, "what each of two workers has for itself"),
        (True, f"and with a list of {REVOKED:,} revocations"),
    ):
        with daemon(material, policies=SAMPLES, revoked=revoked, workers=2) as server:
            until_workers_answer(server, requests(material.tokens)[0], 2)
            each = tuple(_private_megabytes(pid) for pid in server.children())
            yield Row("P7", what, None, Figure(each, "MB"))


def _private_megabytes(pid: int) -> float:
    lines = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii").splitlines()
    sizes = [int(line.split()[1]) for line in lines if line.startswith("Private_")]
    return sum(sizes) / 1024


def _over_many_tokens(many: int) -> tuple[Figure, Figure]:
    material = Material("EdDSA")
    with daemon(material) as server:
        until_serving(server)
        filled = _megabytes(server)
        for first in range(0, many, PORTION):
            bodies = requests(material.new_tokens(first, PORTION))
            run(server.address, CHECK, bodies, calls=PORTION, in_flight=IN_FLIGHT)
            os.truncate(server.folder / "decisions.ndjson", 0)  # what is in it is of no use here
            if first + PORTION == FULL:
                filled = _megabytes(server)
        return filled, _megabytes(server)


def _megabytes(server: Server) -> Figure:
    return Figure((server.resident_megabytes(),), "MB")


def _bytes_per_token(material: Material) -> float:
    """Verify tokens, and return what each adds to the cache."""
    verify = validator(material).verify
    server = ResourceServer(API, frozenset({AUDIENCE}))
    first, *tokens = material.new_tokens(0, COUNT + 1)
    now = time.time()
    verify(first, server, now)
    with _traced() as grown:
        for token in tokens:
            verify(token, server, now)
    return grown[0] / COUNT


def _bytes_per_rule() -> float:
    """Load and compile rules, and return what each adds to the program."""
    few, many = (
        [Source(f"rules_{number}.policy", rules_text(number)) for number in range(count)]
        for count in (1, 1 + RULE_FILES)
    )
    base = Source("health.policy", base_text())
    sizes = []
    for sources in (few, many):
        with _traced() as grown:
            policies = load([base, *sources]).policies
            assert policies is not None
            program = compile_policies(policies)
            del policies
        sizes.append(grown[0])
        del program
    return (sizes[1] - sizes[0]) / (RULE_FILES * RULES_IN_FILE)


@contextmanager
def _traced() -> Iterator[list[int]]:
    """Put into the list what the block has left in memory, in bytes."""
    grown: list[int] = []
    gc.collect()
    tracemalloc.start()
    try:
        yield grown
        gc.collect()
        grown.append(tracemalloc.get_traced_memory()[0])
    finally:
        tracemalloc.stop()
