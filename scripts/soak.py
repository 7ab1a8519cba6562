"""The daemon under load for minutes, beside callers that do everything wrong.

`python -m scripts.soak [--minutes 10] [--transport event|standard|both] [--mixed [--load 60]]`

One process asks as fast as it is answered. Another vanishes in mid-call, sends headers and nothing
more, cancels, and sends what is no HTTP/2, no gRPC and no message. A third makes the attacks of
`scripts.hostile`, one after the other, and rests while the daemon is weighed. Said are calls
answered, the longest wait for an answer, and the daemon's memory, descriptors and threads over
time. It ends with 1 on a crash, on a wait of more than `STALL` seconds, on a failed call of the
proper caller, on an error in the daemon's log, and on descriptors, threads or memory that do not
come back.

With `--mixed`, calls come evenly, at `--load` per cent of what the daemon answers at most, and
policies, keys, revocations and the file of the decision log change meanwhile (`scripts.soak_mix`).
Said is how each tenth of the run was (`scripts.soak_flat`). It ends with 1 also if a change takes
no effect, if an answer has no record or a record no answer, and if memory or latencies drift.
"""

from __future__ import annotations

import argparse
import itertools
import json
import multiprocessing
import os
import signal
import sys
import tempfile
import time
from array import array
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event
from pathlib import Path

import msgspec

from bench.load import LoadError, run
from bench.material import Material
from bench.servers import (
    CHECK,
    LOAD_CORE,
    TRANSPORTS,
    Server,
    daemon,
    insist_on_allow,
    requests,
    until_serving,
)
from policyd.config.tables import Server as Settings
from policyd.server.transport.pool import IDLE
from scripts.hostile.attacks import ATTACKS
from scripts.hostile.target import Target
from scripts.soak_flat import HEADING, drift, evenly, tenth
from scripts.soak_mix import ENTRIES, FIRST_PROPER, Mix, Tally, count, lasting_tokens, own_policies
from scripts.vandal import vandalise

STALL = 5.0
IN_FLIGHT = 32
SLICE = 4000
HALF_OPEN = 64
#: Seconds; a thread of the daemon's own that found nothing to do ends before.
SETTLING = IDLE + 3.0
#: Seconds in which those of gRPC end as well: one after the other, each after twenty of idleness.
PATIENCE = 120.0
SPARE_DESCRIPTORS = 4
#: The standard transport makes the threads of its streams as it needs them, and keeps them.
SPARE_THREADS = {"event": 4, "standard": 4 + 200}
#: Seconds of one attack, and of rest before the daemon is weighed.
ATTACK, REST = 4.0, 2.0
GROWTH = 1.10
#: Seconds over one connection, and until every record is written.
STRETCH, WRITTEN = 5.0, 30.0


class Sample(msgspec.Struct, frozen=True):
    """The daemon at one moment. Memory is in megabytes."""

    resident: float
    descriptors: int
    threads: int

    def __str__(self) -> str:
        return f"{self.resident:6.1f} MB {self.descriptors:4} descriptors {self.threads:3} threads"


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m scripts.soak", description=__doc__)
    parser.add_argument("--minutes", type=float, default=10.0)
    parser.add_argument("--transport", choices=[*TRANSPORTS, "both"], default="both")
    parser.add_argument("--mixed", action="store_true", help="with all that changes in a daemon")
    parser.add_argument("--load", type=float, default=60.0, help="per cent, with --mixed")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.sched_setaffinity(0, LOAD_CORE)
    transports = TRANSPORTS if options.transport == "both" else (options.transport,)
    failures = [
        f"{transport}: {failure}"
        for transport in transports
        for failure in soak(
            transport, options.minutes * 60, options.load / 100 if options.mixed else None
        )
    ]
    print("\n".join(failures) or "nothing was lost: no crash, no stall, no leak")
    sys.exit(bool(failures))


def soak(transport: str, seconds: float, share: float | None = None) -> list[str]:
    """Load one daemon, mixed with changes if there is a `share`; return what went wrong."""
    material = Material() if share is None else Material(revoked=ENTRIES)
    stop = multiprocessing.Event()
    calm = multiprocessing.Event()
    deeds: Synchronized[int] = multiprocessing.Value("q", 0)
    with (
        tempfile.TemporaryDirectory(prefix="soak-") as folder,
        daemon(material, transport, policies=own_policies(Path(folder))) as server,
    ):
        until_serving(server)
        (token,) = lasting_tokens(material, 0, 1)
        (question,) = requests([token])
        insist_on_allow(server, question)
        bodies = requests(lasting_tokens(material, FIRST_PROPER, 1000))
        run(server.address, CHECK, bodies, calls=SLICE, in_flight=IN_FLIGHT)
        before = settled(server)
        print(f"{transport:8} {'at rest':>9}  {before}", flush=True)
        vandal = multiprocessing.Process(
            target=vandalise, args=(server.address, question, HALF_OPEN, stop, deeds)
        )
        target = Target(server.address, Settings().max_message_bytes, question, token)
        attacker = multiprocessing.Process(target=attack_in_turn, args=(target, stop, calm))
        vandal.start()
        attacker.start()
        try:
            if share is None:
                failures, samples = load(transport, server, bodies, seconds, calm)
            else:
                mix = Mix(server, material, Path(folder) / "policies")
                failures, samples = mixed(server, bodies, seconds, share, mix, stop, calm)
        finally:
            stop.set()
            for bad in (vandal, attacker):
                bad.join(timeout=30)
                bad.kill()
        failures += [
            f"the bad callers ended with exit code {bad.exitcode}"
            for bad in (vandal, attacker)
            if bad.exitcode
        ]
        print(f"{transport:8} {deeds.value:,} bad callers")
        server.insist()
        after = settled(server, lambda now: not losses(transport, before, now, []))
        print(f"{transport:8} {'at rest':>9}  {after}", flush=True)
        failures += losses(transport, before, after, samples)
        failures += [f"it logged: {line}" for line in errors(server)]
    if server.process.returncode:
        failures.append(f"it ended with exit code {server.process.returncode} when asked to stop")
    return failures


def load(
    transport: str, server: Server, bodies: list[bytes], seconds: float, calm: Event
) -> tuple[list[str], list[Sample]]:
    """Ask until the time is over; return what failed, and samples all along."""
    began = told = time.monotonic()
    interval = min(30.0, seconds / 4)
    answered = since = 0
    longest = longest_since = 0.0
    failures: list[str] = []
    samples: list[Sample] = []
    while time.monotonic() < began + seconds:
        server.insist()
        try:
            measured = run(server.address, CHECK, bodies, calls=SLICE, in_flight=IN_FLIGHT)
        except (LoadError, OSError) as error:
            failures.append(f"a proper call failed: {error}")
            break
        answered += measured.calls
        longest_since = max(longest_since, measured.latencies[-1])
        now = time.monotonic()
        if now - told >= interval:
            calm.set()
            time.sleep(REST)
            samples.append(sample(server))
            calm.clear()
            print(
                f"{transport:8} {now - began:7.0f} s  {samples[-1]}  "
                f"{(answered - since) / (now - told):6.0f} answers/s, "
                f"the slowest after {longest_since * 1000:5.0f} ms",
                flush=True,
            )
            told, since = now, answered
            longest, longest_since = max(longest, longest_since), 0.0
            # What was written is of no use here, and would fill the disk.
            os.truncate(server.folder / "decisions.ndjson", 0)
    longest = max(longest, longest_since)
    print(f"{transport:8} {answered:,} answers, the slowest after {longest * 1000:.0f} ms")
    if longest > STALL:
        failures.append(f"an answer took {longest:.1f} s")
    return failures, samples


def mixed(
    server: Server,
    bodies: list[bytes],
    seconds: float,
    share: float,
    mix: Mix,
    stop: Event,
    calm: Event,
) -> tuple[list[str], list[Sample]]:
    """Ask evenly while things change; return what failed, and samples all along."""
    fastest = run(server.address, CHECK, bodies, calls=2 * SLICE, in_flight=IN_FLIGHT)
    rate = share * fastest.rate
    print(f"{fastest.rate:,.0f} answers/s beside bad callers; now {rate:,.0f} ({share:.0%})")
    print(HEADING, flush=True)
    tally = Tally(*(multiprocessing.Value("q", 0) for _ in range(3)))
    changing = multiprocessing.Process(target=mix.run, args=(stop, calm, tally))
    changing.start()
    answered = SLICE + fastest.calls
    failures: list[str] = []
    samples: list[Sample] = []
    tenths = []
    began = time.monotonic()
    try:
        for _ in range(10):
            latencies, asking = array("d"), time.monotonic()
            while (left := asking + seconds / 10 - time.monotonic()) > 0:
                server.insist()
                evenly(server.address, CHECK, bodies, rate, min(STRETCH, left), latencies)
            took = time.monotonic() - asking
            answered += len(latencies)
            calm.set()
            time.sleep(REST)
            samples.append(sample(server))
            calm.clear()
            tenths.append(
                tenth((time.monotonic() - began) / 60, took, latencies, samples[-1].resident)
            )
            print(tenths[-1], flush=True)
            if tenths[-1].slowest > STALL * 1000:
                failures.append(f"an answer took {tenths[-1].slowest / 1000:.1f} s")
    except (LoadError, OSError) as error:
        failures.append(f"a proper call failed: {error}")
    stop.set()
    changing.join(timeout=120)
    if changing.exitcode != 0 or tally.failed.value:
        failures.append(f"{tally.failed.value} changes took no effect; exit {changing.exitcode}")
    if len(tenths) == 10:
        failures += unrecorded(server, answered, tally)
    print(f"{tally.changes.value} changes of policies, keys, revocations and the log's file")
    return failures + drift(tenths), samples


def unrecorded(server: Server, answered: int, tally: Tally) -> list[str]:
    """Hold the records of proper callers against the answers that they were given."""
    until = time.monotonic() + WRITTEN
    while True:
        records = tally.records.value + count(server.folder / "decisions.ndjson")
        if records == answered or time.monotonic() > until:
            break
        time.sleep(1.0)
    print(f"{answered:,} answers, {records:,} records of them")
    return [] if records == answered else [f"{answered:,} answers, but {records:,} records"]


def sample(server: Server) -> Sample:
    return Sample(server.resident_megabytes(), server.descriptors(), server.threads())


def settled(server: Server, enough: Callable[[Sample], bool] = lambda _: True) -> Sample:
    """Give the daemon time to see that connections are gone, and look at it.

    It waits on, `PATIENCE` seconds at most, for as long as it is not `enough`.
    """
    time.sleep(SETTLING)
    until = time.monotonic() + PATIENCE
    while not enough(found := sample(server)) and time.monotonic() < until:
        time.sleep(1.0)
    return found


def losses(transport: str, before: Sample, after: Sample, samples: list[Sample]) -> list[str]:
    found: list[str] = []
    if after.descriptors > before.descriptors + SPARE_DESCRIPTORS:
        found.append(f"descriptors: {before.descriptors} before, {after.descriptors} after")
    if after.threads > before.threads + SPARE_THREADS[transport]:
        found.append(f"threads: {before.threads} before, {after.threads} after")
    quarter = len(samples) // 4
    if quarter:
        early, late = samples[quarter - 1].resident, samples[-1].resident
        if late > GROWTH * early:
            found.append(f"memory: {early:.0f} MB after a quarter, {late:.0f} MB at the end")
    return found


def errors(server: Server) -> list[str]:
    """Return the errors in the daemon's own log, each once."""
    found: dict[str, None] = {}
    for line in server.errors.splitlines():
        if not line.startswith("{"):
            found[line[:300]] = None
            continue
        entry = json.loads(line)
        if entry.get("level") in ("error", "critical"):
            found[str(entry.get("message") or entry.get("event") or line)[:300]] = None
    return list(found)[:10]


# -- the attacks, in turn ------------------------------------------------------------------------


class _Enough:
    """Ends an attack: at the end of all, for a rest, or after its time."""

    def __init__(self, stop: Event, calm: Event) -> None:
        self._stop = stop
        self._calm = calm
        self._until = time.monotonic() + ATTACK

    def is_set(self) -> bool:
        return self._stop.is_set() or self._calm.is_set() or time.monotonic() > self._until

    def wait(self, timeout: float) -> bool:
        self._stop.wait(timeout)
        return self.is_set()


def attack_in_turn(target: Target, stop: Event, calm: Event) -> None:
    """Make all attacks that a daemon with the sample policies bears, again and again."""
    os.nice(10)
    fit = (one for one in ATTACKS if not (one.policy or one.tls or one.descriptors))
    for attack in itertools.cycle(fit):
        while calm.is_set() and not stop.is_set():
            stop.wait(0.1)
        if stop.is_set():
            return
        attack.run(target, _Enough(stop, calm))


if __name__ == "__main__":
    main()
