"""The daemon at full load for minutes, beside callers that do everything wrong.

`python -m scripts.soak [--minutes 10] [--transport event|standard|both]`

One process asks as fast as it is answered. Another vanishes in mid-call, sends headers and nothing
more, cancels, and sends what is no HTTP/2, no gRPC and no message. A third makes the attacks of
`scripts.hostile`, one after the other, and rests while the daemon is weighed. Said are calls
answered, the longest wait for an answer, and the daemon's memory, descriptors and threads over
time. It ends with 1 on a crash, on a wait of more than `STALL` seconds, on a failed call of the
proper caller, on an error in the daemon's log, and on descriptors, threads or memory that do not
come back.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import multiprocessing
import os
import random
import signal
import socket
import struct
import sys
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

import msgspec

from bench.load import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    HEADERS,
    PREFACE,
    RESET,
    SETTINGS,
    LoadError,
    Method,
    frame,
    header_blocks,
    run,
)
from bench.material import Material
from bench.servers import (
    CHECK,
    HEALTH,
    LOAD_CORE,
    SERVICE,
    TRANSPORTS,
    Server,
    daemon,
    insist_on_allow,
    requests,
    until_serving,
)
from policyd.server.config.tables import Server as Settings
from policyd.server.transport.pool import IDLE
from scripts.hostile.attacks import ATTACKS, Target

STALL = 5.0
IN_FLIGHT = 32
SLICE = 4000
HALF_OPEN = 64
#: Seconds; a thread that found nothing to do ends before.
SETTLING = IDLE + 3.0
SPARE_DESCRIPTORS = 4
#: The standard transport makes the threads of its streams as it needs them, and keeps them.
SPARE_THREADS = {"event": 4, "standard": 4 + 200}
#: Seconds of one attack, and of rest before the daemon is weighed.
ATTACK, REST = 4.0, 2.0
GROWTH = 1.10
CANCEL = 8

Address = tuple[str, int]


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
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    os.sched_setaffinity(0, LOAD_CORE)
    transports = TRANSPORTS if options.transport == "both" else (options.transport,)
    failures = [
        f"{transport}: {failure}"
        for transport in transports
        for failure in soak(transport, options.minutes * 60)
    ]
    print("\n".join(failures) or "nothing was lost: no crash, no stall, no leak")
    sys.exit(bool(failures))


def soak(transport: str, seconds: float) -> list[str]:
    """Load one daemon, and return what went wrong."""
    material = Material()
    stop = multiprocessing.Event()
    calm = multiprocessing.Event()
    deeds: Synchronized[int] = multiprocessing.Value("q", 0)
    with daemon(material, transport) as server:
        until_serving(server)
        bodies = requests(material.tokens)
        insist_on_allow(server, bodies[0])
        run(server.address, CHECK, bodies, calls=SLICE, in_flight=IN_FLIGHT)
        before = settled(server)
        print(f"{transport:8} {'at rest':>9}  {before}", flush=True)
        vandal = multiprocessing.Process(
            target=vandalise, args=(server.address, bodies[0], HALF_OPEN, stop, deeds)
        )
        target = Target(server.address, Settings().max_message_bytes, bodies[0], material.tokens[0])
        attacker = multiprocessing.Process(target=attack_in_turn, args=(target, stop, calm))
        vandal.start()
        attacker.start()
        try:
            failures, samples = load(transport, server, bodies, seconds, calm)
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
        after = settled(server)
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


def sample(server: Server) -> Sample:
    return Sample(server.resident_megabytes(), server.descriptors(), server.threads())


def settled(server: Server) -> Sample:
    """Give the daemon time to see that connections are gone, and look at it."""
    time.sleep(SETTLING)
    return sample(server)


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


# -- the bad callers -----------------------------------------------------------------------------


def vandalise(
    address: Address, body: bytes, half_open: int, stop: Event, done: Synchronized[int]
) -> None:
    """Do one bad thing after the other, counted, and hold calls half open all the while."""
    chance = random.Random(0)
    deeds: list[Callable[[Vandal], None]] = [
        Vandal.vanish_in_message,
        Vandal.vanish_before_answer,
        Vandal.cancel_before_message,
        Vandal.cancel_after_message,
        Vandal.leave_streams,
        Vandal.send_noise,
        Vandal.send_noise_in_frames,
        Vandal.send_no_grpc,
        Vandal.send_no_message,
        Vandal.ask_for_nothing_known,
    ]
    held: list[Vandal] = []
    until = 0.0
    while not stop.is_set():
        if time.monotonic() > until:
            for vandal in held:
                vandal.leave(reset=chance.random() < 0.5)
            held = [_half_open(address, body, chance, half_open)]
            until = time.monotonic() + 2.0
        vandal = Vandal(address, body, chance)
        with contextlib.suppress(OSError):  # the daemon may hang up on it
            chance.choice(deeds)(vandal)
        vandal.leave(reset=chance.random() < 0.5)
        done.value += 1
        time.sleep(0.002)
    for vandal in held:
        vandal.leave(reset=True)


def _half_open(address: Address, body: bytes, chance: random.Random, count: int) -> Vandal:
    vandal = Vandal(address, body, chance)
    for _ in range(count):
        vandal.headers(CHECK.path)
    vandal.send()
    return vandal


class Vandal:
    """One connection of a bad caller."""

    def __init__(self, address: Address, body: bytes, chance: random.Random) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.chance = chance
        self.message = struct.pack(">BI", 0, len(body)) + body
        self.out = bytearray(PREFACE + frame(SETTINGS, 0, 0, b""))
        self.stream = -1

    def leave(self, *, reset: bool) -> None:
        """Close the connection, or let the kernel reset it."""
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()

    def headers(self, method: str) -> None:
        """Begin a call on a new stream."""
        self.stream += 2
        # The first of a connection's two kinds of block fits anywhere: it names nothing by index.
        self.out += frame(HEADERS, END_HEADERS, self.stream, header_blocks(Method(method))[0])

    def data(self, payload: bytes, *, end: bool) -> None:
        self.out += frame(DATA, END_STREAM if end else 0, self.stream, payload)

    def send(self) -> None:
        self.socket.sendall(self.out)
        self.out.clear()

    def hear(self) -> None:
        """Read once, whatever comes."""
        self.socket.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            self.socket.recv(65536)

    def vanish_in_message(self) -> None:
        self.headers(CHECK.path)
        self.data(self.message[: self.chance.randrange(len(self.message))], end=False)
        self.send()

    def vanish_before_answer(self) -> None:
        for _ in range(self.chance.randint(1, 16)):
            self.headers(CHECK.path)
            self.data(self.message, end=True)
        self.send()

    def cancel_before_message(self) -> None:
        self.headers(CHECK.path)
        self.out += frame(RESET, 0, self.stream, struct.pack(">I", CANCEL))
        self.send()
        self.hear()

    def cancel_after_message(self) -> None:
        for _ in range(self.chance.randint(1, 16)):
            self.headers(CHECK.path)
            self.data(self.message, end=True)
            self.out += frame(RESET, 0, self.stream, struct.pack(">I", CANCEL))
        self.send()
        self.hear()

    def leave_streams(self) -> None:
        """Watch, and exchange, and go away in the middle."""
        self.headers(HEALTH.replace("Check", "Watch"))
        self.data(b"\0\0\0\0\0", end=True)
        self.headers(f"{SERVICE}/CheckStream")
        self.data(b"\0\0\0\0\0", end=False)
        self.send()
        self.hear()

    def send_noise(self) -> None:
        """Send what is no HTTP/2."""
        self.socket.sendall(self.chance.randbytes(self.chance.randint(1, 4096)))
        self.hear()

    def send_noise_in_frames(self) -> None:
        """Send frames of any kind, on any stream, that hold anything."""
        for _ in range(self.chance.randint(1, 20)):
            payload = self.chance.randbytes(self.chance.randint(0, 64))
            flags, stream = self.chance.randrange(256), self.chance.randrange(8)
            self.out += frame(self.chance.randrange(12), flags, stream, payload)
        self.send()
        self.hear()

    def send_no_grpc(self) -> None:
        """Lie about a message's length or compression."""
        self.headers(CHECK.path)
        lie = struct.pack(">BI", self.chance.randrange(256), self.chance.randrange(2**32))
        self.data(lie + self.chance.randbytes(100), end=self.chance.random() < 0.5)
        self.send()
        self.hear()

    def send_no_message(self) -> None:
        """Send bytes that are no request."""
        noise = self.chance.randbytes(self.chance.randint(0, FIRST_WINDOW // 8))
        self.headers(CHECK.path)
        self.data(struct.pack(">BI", 0, len(noise)) + noise, end=True)
        self.send()
        self.hear()

    def ask_for_nothing_known(self) -> None:
        self.headers(f"{SERVICE}/None{self.chance.randrange(1000)}")
        self.data(self.message, end=True)
        self.send()
        self.hear()


if __name__ == "__main__":
    main()
