"""P14: checks while the promises of 10,000 rules are proven, in the process that proves them.

A promise is edited, so that all is proven anew. The checks are asked one at a time, from when that
process begins to work until it has answered: what the daemon itself does before and after, P6
measures. The process reads the whole set and proves it, at low priority, on the daemon's core.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path

from bench.load import run
from bench.material import Material
from bench.reload import (
    FILES,
    LOADED,
    PATIENCE,
    RULES_IN_FILE,
    base_text,
    loads,
    rules_text,
    steady_p99,
)
from bench.report import Figure, Row, at_most, percentile, ratio
from bench.servers import CHECK, Server, daemon, insist_on_allow, requests, until_serving

#: The rules of organisations keep the second by a part of their own each.
_PROMISES = """
/// Edition {number}.
prove scoped: never allow read on patient
    when not scope read:patients

prove walled: never allow read on patient
    when token.org_id is present and token.org_id starts with "other"
"""
_READS = "allow reads: read on patient\n    when scope read:patients\n"
_READS_OWN = _READS.rstrip() + " and token.org_id is missing\n"
#: Ticks of the clock that the process must have used before it counts as at work.
_AT_WORK = 2


def rows_of_proving(material: Material, rounds: int) -> list[Row]:
    """P14, over a daemon of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-promises-") as name:
        folder = Path(name)
        for number in range(FILES):
            (folder / f"rules_{number:03}.policy").write_text(rules_text(number), encoding="utf-8")
        _promise(folder, 0)
        with daemon(material, policies=folder) as server:
            until_serving(server, PATIENCE)
            bodies = requests(material.tokens)
            insist_on_allow(server, bodies[0])
            run(server.address, CHECK, bodies, calls=len(bodies))  # warms the tokens' cache
            quiet, busy, took = [], [], []
            for number in range(1, rounds + 1):
                quiet.append(steady_p99(server, bodies))
                seconds, p99 = _proven(server, bodies, folder, number)
                took.append(seconds)
                busy.append(p99)
    still, proving = Figure(tuple(quiet), "ms"), Figure(tuple(busy), "ms")
    rules = f"{FILES * RULES_IN_FILE:,} rules"
    return [
        Row("P14", f"reading and proving {rules}, beside checks", None, Figure(tuple(took), "s")),
        Row("P14", "p99 of checks, one at a time", None, still),
        Row("P14", f"the same while {rules} are proven; none fails", None, proving),
        Row("P14", "p99 proving / quiet", at_most(1.5), ratio(proving, still)),
    ]


def _promise(folder: Path, number: int) -> None:
    """Write the declarations and the promises at once, as an editor does."""
    draft = folder / "health.draft"
    text = base_text()
    assert _READS in text, "the sample has the rule that is made narrower"
    text = text.replace(_READS, _READS_OWN) + _PROMISES.format(number=number)
    draft.write_text(text, encoding="utf-8")
    draft.replace(folder / "health.policy")


def _proven(server: Server, bodies: list[bytes], folder: Path, number: int) -> tuple[float, float]:
    """Have all proven anew; return the seconds that took, and of the checks meanwhile the 99th
    percentile in milliseconds."""
    before = len(loads(server))
    prover = _prover(server)
    used = prover.ticks()
    end = time.monotonic() + PATIENCE
    _promise(folder, number)
    while prover.ticks() < used + _AT_WORK:
        if time.monotonic() > end:
            raise RuntimeError(f"nothing is proven: {server.errors[-2000:]}")
        time.sleep(0.002)
    began = time.monotonic()
    measured = run(server.address, CHECK, bodies, calls=10**9, enough=prover.is_idle)
    seconds = time.monotonic() - began
    while len(loads(server)) == before:
        if time.monotonic() > end:
            raise RuntimeError(f"no `{LOADED}`: {server.errors[-2000:]}")
        time.sleep(0.05)
    return seconds, percentile(measured.latencies, 0.99) * 1000


class _Process:
    """The process that proves, as the kernel tells of it."""

    def __init__(self, number: int) -> None:
        self._stat = Path(f"/proc/{number}/stat")
        self._seen_idle = 0

    def ticks(self) -> int:
        """Return the processor time that it has used."""
        fields = self._fields()
        return int(fields[11]) + int(fields[12])

    def is_idle(self) -> bool:
        """Tell whether it waits for the next set: it sleeps, and sleeps on."""
        self._seen_idle = self._seen_idle + 1 if self._fields()[0] == "S" else 0
        return self._seen_idle > 20

    def _fields(self) -> list[str]:
        return self._stat.read_text(encoding="utf-8").rpartition(")")[2].split()


def _prover(server: Server) -> _Process:
    for task in Path(f"/proc/{server.process.pid}/task").iterdir():
        for number in (task / "children").read_text(encoding="utf-8").split():
            command = Path(f"/proc/{number}/cmdline").read_bytes()
            if b"policyd.pdp.proving" in command:
                return _Process(int(number))
    raise RuntimeError("the daemon has no process that proves")
