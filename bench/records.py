"""`records`: what it costs that records are safe, and how fast a log is decided again.

The daemon, 32 calls in flight, with each durability of its log, in turn. And one log, replayed by
the policies that wrote it, in processor time of one process: the sample policy, and a hundred
rules on one action.
"""

from __future__ import annotations

import os
import tempfile
import time
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

from bench.load import run
from bench.material import Material
from bench.report import Figure, Row, at_least, interleaved, ratio
from bench.servers import CHECK, daemon, insist_on_allow, requests, until_serving
from policyd.language.policy import PolicySet
from policyd.replay.files import replay_files
from tests.support.logs import POLICY, Question, loaded, log_lines

IN_FLIGHT: Final = 32
RULES: Final = 100
QUESTIONS, REPEATED = 5_000, 20
_DURABILITIES: Final = ("none", "interval", "sync")


def rows_of_records(material: Material, rounds: int, calls: int) -> list[Row]:
    """Durability as ratios of throughput, and records a CPU second."""
    return [*_durability(material, rounds, calls), *_replay(rounds)]


def _durability(material: Material, rounds: int, calls: int) -> list[Row]:
    rates: dict[str, list[float]] = {name: [] for name in _DURABILITIES}
    with ExitStack() as stack:
        servers = {
            name: stack.enter_context(
                daemon(material, environment={"POLICYD_DECISION_LOG__DURABILITY": name})
            )
            for name in _DURABILITIES
        }
        bodies = requests(material.tokens)
        for server in servers.values():
            until_serving(server)
            insist_on_allow(server, bodies[0])
        for number in range(rounds + 1):
            for name, server in servers.items():
                busy = run(server.address, CHECK, bodies, calls=calls, in_flight=IN_FLIGHT)
                if number:
                    rates[name].append(busy.rate)
    figures = {name: Figure(tuple(found), "/s") for name, found in rates.items()}
    what = f"Check, {IN_FLIGHT} in flight, decision log"
    return [
        *(Row("records", f"{what} {name}: throughput", None, one) for name, one in figures.items()),
        Row("records", f"{what} interval / none", at_least(0.97), _of("interval", figures)),
        Row("records", f"{what} sync / none", at_least(0.6), _of("sync", figures)),
        Row("records", "the disk: write 20 kB and fdatasync", None, _disk(rounds)),
    ]


def _of(name: str, figures: dict[str, Figure]) -> Figure:
    return ratio(figures[name], figures["none"])


def _disk(rounds: int) -> Figure:
    """Return what it takes to put the records of a turn on the disk, in microseconds."""
    found = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        descriptor = os.open(Path(folder) / "log", os.O_CREAT | os.O_APPEND | os.O_WRONLY)
        for _ in range(max(rounds, 2)):
            began = time.perf_counter()
            for _ in range(50):
                os.write(descriptor, b"x" * 20_000)
                os.fdatasync(descriptor)
            found.append((time.perf_counter() - began) / 50 * 1e6)
        os.close(descriptor)
    return Figure(tuple(found), "us")


def _replay(rounds: int) -> list[Row]:
    questions = [
        Question(
            subject=f"u-{number % 300}",
            action="read" if number % 2 else "update",
            sealed=number % 10 == 0,
            roles=(f"role-{number % RULES}",),
            context={"ip": "192.0.2.1"} if number % 3 else {},
            at=number,
        )
        for number in range(QUESTIONS)
    ]
    rows = []
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        for name, text, least in (
            ("the sample policy", POLICY, 200_000),
            (f"{RULES} rules", _many_rules(), 100_000),
        ):
            log = Path(folder) / "log"
            log.write_bytes(b"".join(log_lines(questions, text)) * REPEATED)
            policies = loaded(text)
            found = interleaved({name: partial(_rate, log, policies)}, rounds, "/s")
            what = f"replay, {name}: records a CPU second"
            rows.append(Row("records", what, at_least(least, "/s"), found[name]))
    return rows


def _rate(log: Path, policies: PolicySet) -> float:
    began = time.process_time()
    tally = replay_files([log], policies)
    spent = time.process_time() - began
    assert tally.same == QUESTIONS * REPEATED, "the policies that wrote a log decide it as it is"
    return tally.decided / spent


def _many_rules() -> str:
    """Return a policy with a hundred rules on one action, of several forms."""
    rules = []
    for number in range(RULES - 3):
        test = (
            f'"role-{number}" in token.roles',
            f'resource.ward == "w-{number}"',
            f'token.client == "app-{number}" and context.ip is present',
        )[number % 3]
        effect = "deny" if number % 5 == 4 else "allow"
        rules.append(
            f"\n{effect} rule-{number}: read on patient\n    when {test} and resource.sealed\n"
        )
    return POLICY + "".join(rules)
