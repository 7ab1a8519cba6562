"""Runs each attack on a daemon of its own beside an honest caller; prints what that one notices.

`python -m scripts.hostile [--quick] [--transport event|standard] [--only TEXT]`

The daemon runs with its defaults on one core, the attack and the honest caller on another. A row
says: the longest that the honest caller waited for an answer without the attack and with it; the
daemon's memory before and at its peak; how the calls of the health service fared, each over a new
connection; and whether the daemon answers afterwards. Times are told and never judged. It ends with
1 when the daemon died, when an honest call failed, or when health did not answer.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from bench.material import POLICIES, Material
from bench.servers import (
    CHECK,
    LOAD_CORE,
    TRANSPORTS,
    Server,
    daemon,
    requests,
    until_listening,
)
from policyd.config.tables import Server as Settings
from scripts.hostile.attacks import ATTACKS
from scripts.hostile.identity import write_identity
from scripts.hostile.prober import Prober
from scripts.hostile.target import Attack, Stop, Target

#: Seconds of an attack, and of the quiet before it.
LONG, QUICK = 4.0, 1.5
QUIET = 0.6
#: Runs a command with so many descriptors.
_LIMITED = (
    "import os, resource, sys; most = (int(sys.argv[1]),) * 2;"
    "resource.setrlimit(resource.RLIMIT_NOFILE, most); os.execv(sys.argv[2], sys.argv[2:])"
)


class Row(msgspec.Struct, frozen=True):
    """What was noticed of one attack. Times are milliseconds, memory is megabytes."""

    name: str
    quiet: float
    worst: float
    before: float
    peak: float
    health: str
    worst_health: float
    after: bool
    failures: tuple[str, ...]

    def __str__(self) -> str:
        return (
            f"{self.name:28} {self.quiet:8.1f} {self.worst:8.1f}"
            f" {self.before:7.0f} {self.peak:7.0f} {self.health:>9} {self.worst_health:8.1f}"
            f"  {'yes' if self.after else 'NO':4}"
            f" {'; '.join(self.failures)}"
        )


HEAD = (
    f"{'attack':28} {'quiet ms':>8} {'worst ms':>8} {'MB':>7} {'peak MB':>7}"
    f" {'health':>9} {'worst ms':>8}  after"
)


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.hostile", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="attack for a shorter time")
    parser.add_argument("--transport", choices=TRANSPORTS, default="event")
    parser.add_argument("--only", default="", help="attacks whose names hold this text")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.sched_setaffinity(0, LOAD_CORE)
    material = Material()
    print(HEAD, flush=True)
    failed = False
    for attack in ATTACKS:
        if options.only in attack.name:
            row = endure(attack, material, options.transport, QUICK if options.quick else LONG)
            print(row, flush=True)
            failed |= bool(row.failures) or not row.after
    sys.exit(failed)


def endure(attack: Attack, material: Material, transport: str, seconds: float) -> Row:
    """Run one attack on a new daemon."""
    with ExitStack() as stack:
        server = stack.enter_context(_daemon(attack, material, transport))
        asked = requests(material.tokens[:1])[0]
        expected = b"" if attack.policy else CHECK.expected
        prober = Prober(server.address, asked, expected, tls=attack.tls)
        prober.until_serving()
        quiet = prober.probe(QUIET)
        before = server.resident_megabytes()
        target = Target(server.address, Settings().max_message_bytes, asked, material.tokens[0])
        with _attacked(attack, target):
            noticed = prober.probe(seconds)
        after = prober.answers_again()
        failures = [*quiet.failures, *noticed.failures]
        peak = server.peak_megabytes() if server.process.poll() is None else 0.0
    if server.process.returncode:
        failures.append(f"the daemon ended with exit code {server.process.returncode}")
    return Row(
        attack.name,
        quiet.worst,
        noticed.worst,
        before,
        peak,
        f"{noticed.healthy}/{noticed.health_asked}",
        noticed.worst_health,
        after,
        tuple(dict.fromkeys(failures)),
    )


@contextmanager
def _daemon(attack: Attack, material: Material, transport: str) -> Iterator[Server]:
    with tempfile.TemporaryDirectory(prefix="hostile-") as name:
        folder, policies = Path(name), POLICIES
        environment: dict[str, str] = {}
        if attack.policy:
            policies = folder / "policies"
            policies.mkdir()
            (policies / "hostile.policy").write_text(attack.policy, encoding="utf-8")
        if attack.tls:
            environment["POLICYD_SERVER__TLS"] = write_identity(folder)
        prefix = [sys.executable, "-c", _LIMITED, str(attack.descriptors)]
        with daemon(
            material,
            transport,
            policies=policies,
            revoked=False,
            environment=environment,
            prefix=prefix if attack.descriptors else (),
        ) as server:
            until_listening(server)
            yield server


@contextmanager
def _attacked(attack: Attack, target: Target) -> Iterator[None]:
    stop = multiprocessing.Event()
    process = multiprocessing.Process(target=_attack, args=(attack, target, stop), daemon=True)
    process.start()
    try:
        time.sleep(0.1)
        yield
    finally:
        stop.set()
        process.join(0.5)
        process.kill()


def _attack(attack: Attack, target: Target, stop: Stop) -> None:
    os.nice(10)  # the honest caller shares its core, and is to be measured, not the core
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    attack.run(target, stop)


if __name__ == "__main__":
    main()
