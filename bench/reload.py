"""P6: loading 10,000 rules in a hundred files, cold and after edits, and the checks meanwhile.

What a load takes is the daemon's own word, in its log. The checks are asked one at a time, so that
each tells of a pause, from when the edit is on disk until the log says that it serves.
"""

from __future__ import annotations

import json
import re
import tempfile
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

from bench.load import run
from bench.material import POLICIES, Material
from bench.report import Figure, Row, at_most, percentile, ratio
from bench.servers import CHECK, Server, daemon, insist_on_allow, requests, until_serving

FILES, RULES_IN_FILE = 100, 100
LOADED = "policies loaded"
PATIENCE = 60.0
STEADY = 2.0

RULE = """\
/// What the staff of one organisation may do with the records that it keeps for its own patients.
allow org-{number:05}: read on patient
    when scope read:patients and token.org_id == "{organisation}"
    unless resource.sealed

"""


class Reload(NamedTuple):
    """One reload: what it took, and of the checks meanwhile the 99th percentile and the longest, in
    milliseconds."""

    seconds: float
    p99: float
    longest: float


def rows_of_load(material: Material, rounds: int) -> list[Row]:
    """P6, over a daemon of its own."""
    with tempfile.TemporaryDirectory(prefix="bench-policies-") as name:
        folder = Path(name)
        size = write(folder)
        with daemon(material, policies=folder) as server:
            until_serving(server)
            bodies = requests(material.tokens)
            insist_on_allow(server, bodies[0])
            run(server.address, CHECK, bodies, calls=len(bodies))  # warms the tokens' cache
            cold = loads(server)[0]
            steady, reloads = [], []
            for number in range(rounds):
                steady.append(steady_p99(server, bodies))
                edit = partial(_write_file, folder, FILES // 2, f"edit{number}")
                reloads.append(_reload(server, bodies, edit))
            anew = _reload(server, bodies, partial(write, folder, "new"))
    once = Figure((cold,) * rounds, "s")
    changed = Figure(tuple(each.seconds for each in reloads), "s")
    quiet, busy = Figure(tuple(steady), "ms"), Figure(tuple(each.p99 for each in reloads), "ms")
    longest = Figure(tuple(each.longest for each in reloads), "ms")
    rules = f"{FILES * RULES_IN_FILE:,} rules, {size / 1e6:.1f} MB"
    share = Figure(tuple(value * 100 for value in ratio(changed, once).rounds), "%")
    return [
        Row("P6", f"loading {rules}, cold", at_most(4, "s"), Figure((cold,), "s")),
        Row("P6", f"one file of {FILES} edited", None, changed),
        Row("P6", "edited / cold", at_most(5, "%"), share),
        Row("P6", "p99 of checks, one at a time", None, quiet),
        Row("P6", "the same while it reloads; none fails", None, busy),
        Row("P6", "p99 reloading / steady", at_most(3), ratio(busy, quiet)),
        Row("P6", "the longest of them", None, longest),
        Row("P6", "all files edited, while serving", None, Figure((anew.seconds,), "s")),
        Row("P6", "p99 of checks while all reload", None, Figure((anew.p99,), "ms")),
        Row("P6", "the longest of those", None, Figure((anew.longest,), "ms")),
    ]


def write(folder: Path, prefix: str = "org") -> int:
    """Write the policies, and return the size of their rules in bytes."""
    (folder / "health.policy").write_text(base_text(), encoding="utf-8")
    return sum(_write_file(folder, number, prefix) for number in range(FILES))


def base_text() -> str:
    """Return the sample policy, which also declares what the rules look at.

    It leaves out the promises: P12 and P14 measure proofs.
    """
    text = (POLICIES / "health.policy").read_text(encoding="utf-8")
    text = re.sub(r"^(/// [^\n]*\n)*prove .*?(?=^\S|\Z)", "", text, flags=re.MULTILINE | re.DOTALL)
    at = text.index("\nclaim ")
    return text[:at] + '\nclaim org_id: string? from "org_id"\n' + text[at:]


def rules_text(number: int, prefix: str = "org") -> str:
    """Return one file of rules. `prefix` begins its organisations."""
    first = number * RULES_IN_FILE
    rules = [
        RULE.format(number=rule, organisation=f"{prefix}_{rule:05}")
        for rule in range(first, first + RULES_IN_FILE)
    ]
    return "api health\n\n" + "".join(rules)


def _write_file(folder: Path, number: int, prefix: str) -> int:
    """Write one file at once, as an editor does, and return its size."""
    text = rules_text(number, prefix)
    path = folder / f"rules_{number:03}.policy"
    draft = path.with_suffix(".draft")
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
    return len(text)


def loads(server: Server) -> list[float]:
    """Return the seconds of each load that the daemon told of."""
    lines = [json.loads(line) for line in server.errors.splitlines() if line.startswith("{")]
    return [float(line["seconds"]) for line in lines if line["message"] == LOADED]


def steady_p99(server: Server, bodies: list[bytes]) -> float:
    """Return the 99th percentile of checks while nothing happens, in milliseconds."""
    end = time.monotonic() + STEADY
    measured = run(
        server.address, CHECK, bodies, calls=10**9, enough=lambda: time.monotonic() > end
    )
    return percentile(measured.latencies, 0.99) * 1000


def _reload(server: Server, bodies: list[bytes], edit: Callable[[], object]) -> Reload:
    """Edit, and check until the daemon says that it serves what was edited."""
    before = len(loads(server))
    edit()
    end = time.monotonic() + PATIENCE
    log = server.folder / "stderr"
    size = log.stat().st_size

    def loaded() -> bool:
        if time.monotonic() > end:
            raise RuntimeError(f"no reload within {PATIENCE:.0f} s: {server.errors[-2000:]}")
        # A look at the size costs little beside a call.
        return log.stat().st_size > size and len(loads(server)) > before

    measured = run(server.address, CHECK, bodies, calls=10**9, enough=loaded)
    return Reload(
        loads(server)[-1],
        percentile(measured.latencies, 0.99) * 1000,
        measured.latencies[-1] * 1000,
    )
