"""What a fleet of daemons costs the servers that all of them ask.

`python -m scripts.fleet [redis|keys|policies …] [--daemons 400] [--entries 100000] [--before]`

- `redis`: a real Redis with a list of revocations, and light daemons: each runs what a daemon runs
  to load and follow a list, over a connection of its own, but counts entries in place of keeping
  them, since so many lists do not fit into one machine. They start at the same moment, and later
  all connections break. Beside them a whole daemon follows the list while revocations are written,
  and somebody asks Redis for a `PING` every few milliseconds. With `--before`, the list is loaded
  by one script, as policyd once did, to compare.
- `keys` and `policies`: when daemons that started in one second ask for the keys of an issuer, and
  look for changed policies: the daemon's own code on a clock that is moved. Nothing is asked.

Each part prints what it found, and ends with 1 where a daemon failed to load, believed a list that
was not whole, or asked in step with the others.
"""

from __future__ import annotations

import argparse
import logging
import multiprocessing
import os
import random
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Final, NamedTuple

import redis

from policyd.sources.policies.polling import pause
from policyd.sources.revocations import RedisSettings
from policyd.sources.revocations.errors import RevocationsUnwritable
from policyd.sources.revocations.redis import Edition, RedisList
from policyd.sources.revocations.shared import SharedRevocations, create, publish, tidy
from policyd.sources.revocations.status import SourceStatus
from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.revocation.revocation_list import RevocationList
from tests.support.redis import RedisServer, redis_server
from tests.support.revocations import answer, revoked_token, seen
from tests.support.tokens import Clock, FakeFetch, key, settings

FAR: Final = int(time.time()) + 30 * 86_400
PROCESSES: Final = 4
PATIENCE: Final = 180.0
#: Seconds between two revocations, between two questions for a sign of life, and of idleness.
REVOKE_EVERY, PING_EVERY, IDLE = 0.25, 0.005, 10.0
#: Where Redis notes a command, in microseconds.
SLOW: Final = 1000
HOUR: Final = 3600


# -- light daemons -------------------------------------------------------------------------------


class Counted(RevocationList):
    """A list that keeps only the number of its entries, and when it was whole."""

    def __init__(self) -> None:
        super().__init__()
        self.count = 0
        self.failures: list[str] = []
        self.whole_at: float | None = None
        self.whole = threading.Event()

    def confirm(self) -> None:
        super().confirm()
        self.whole_at = self.whole_at or time.monotonic()
        self.whole.set()

    def fail(self, problem: str) -> None:
        super().fail(problem)
        self.failures.append(problem)


class Light(SharedRevocations):
    """Loads and follows the list; counts lines in place of decoding and keeping them.

    With `before`, it loads the snapshot by one script.
    """

    _SCRIPT: Final = """
    if redis.call('EXISTS', KEYS[1], KEYS[2], KEYS[3]) ~= 3 then return false end
    local list = redis.call('HMGET', KEYS[3], 'run', 'snapshot', 'upto')
    return {list[1], list[2], list[3], redis.call('GET', KEYS[2])}
    """

    def __init__(self, settings: RedisSettings, *, before: bool) -> None:
        self.counted = Counted()
        self._before = before
        super().__init__(settings, SourceStatus(self.counted, "Redis"))

    def _take(self, lines: Iterable[bytes]) -> None:
        self.counted.count += sum(1 for line in lines if line)

    def _load(self, source: RedisList) -> Edition:
        if not self._before:
            return super()._load(source)
        with source._failures():
            run, snapshot, upto, text = source._client.execute_command(
                "EVAL_RO", self._SCRIPT, len(source._keys), *source._keys
            )
        self._take(text.split(b"\n"))
        self._edition = Edition(run, snapshot, upto)
        return self._edition

    def again(self) -> None:
        """Note anew when the list is whole."""
        self.counted.whole.clear()
        self.counted.whole_at = None


class Loaded(NamedTuple):
    """What became of some daemons: for each, after how many seconds its list was whole, and how
    many entries it had; and the problems of all."""

    seconds: list[float]
    counts: list[int]
    problems: list[str]


def drive(
    settings: RedisSettings, number: int, before: bool, line: Connection[Loaded, str | None]
) -> None:
    """Be `number` light daemons, and do what is said over `line`."""
    logging.disable()
    daemons = [Light(settings, before=before) for _ in range(number)]
    threading.stack_size(256 * 1024)
    while (said := line.recv()) is not None:
        began = time.monotonic()
        for daemon in daemons:
            if said == "start":
                daemon.start()
            else:
                daemon.again()
        for daemon in daemons:
            daemon.counted.whole.wait(max(0.0, began + PATIENCE - time.monotonic()))
        line.send(
            Loaded(
                [(one.counted.whole_at or began + PATIENCE) - began for one in daemons],
                [one.counted.count for one in daemons],
                [problem for one in daemons for problem in one.counted.failures],
            )
        )
        for daemon in daemons:
            daemon.counted.failures.clear()
    os._exit(0)  # the threads end with the process


class Daemons:
    """All light daemons, in several processes."""

    def __init__(self, settings: RedisSettings, number: int, *, before: bool) -> None:
        self._lines: list[Connection[str | None, Loaded]] = []
        for part in range(PROCESSES):
            near, far = multiprocessing.Pipe()
            share = number // PROCESSES + (part < number % PROCESSES)
            multiprocessing.Process(
                target=drive, args=(settings, share, before, far), daemon=True
            ).start()
            self._lines.append(near)

    def do(self, what: str, then: Callable[[], None] = lambda: None) -> Loaded:
        """Have them `start`, or note anew when they are whole; return what became of it."""
        for line in self._lines:
            line.send(what)
        then()
        found = [line.recv() for line in self._lines]
        return Loaded(
            [seconds for one in found for seconds in one.seconds],
            [count for one in found for count in one.counts],
            [problem for one in found for problem in one.problems],
        )

    def end(self) -> None:
        for line in self._lines:
            line.send(None)


# -- Redis, and what is measured of it -----------------------------------------------------------


class Witness:
    """Measures Redis as others see it: the longest `PING`, and how long a revocation took to reach
    a daemon that followed the list before."""

    def __init__(self, server: RedisServer) -> None:
        self._settings = server.settings
        self._known = RevocationList()
        self._follower = SharedRevocations(server.settings, SourceStatus(self._known, "Redis"))
        self._follower.start()
        assert self._known.wait(PATIENCE), "the first daemon did not load"
        self._over = threading.Event()
        self._unwritten = 0
        self.longest_ping = self.longest_way = 0.0
        self._threads = [
            threading.Thread(target=self._ping, daemon=True),
            threading.Thread(target=self._revoke, daemon=True),
        ]
        for thread in self._threads:
            thread.start()

    def take(self) -> str:
        """Return what was seen since the last time, in words."""
        said = (
            f"longest PING {self.longest_ping * 1000:.0f} ms, "
            f"longest way of a revocation {self.longest_way:.2f} s, {self._unwritten} not written"
        )
        self._unwritten = 0
        self.longest_ping = self.longest_way = 0.0
        return said

    def end(self) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE)
        self._follower.stop()

    def _ping(self) -> None:
        client = redis.Redis(port=self._settings.port, protocol=2, socket_timeout=PATIENCE)
        while not self._over.wait(PING_EVERY):
            began = time.monotonic()
            try:
                client.ping()
            except redis.ConnectionError:  # it was broken, with all others
                continue
            self.longest_ping = max(self.longest_ping, time.monotonic() - began)

    def _revoke(self) -> None:
        number = 0
        while not self._over.wait(REVOKE_EVERY):
            number += 1
            began = time.monotonic()
            try:
                publish(self._settings, [revoked_token(f"late-{number}", until=FAR)])
            except RevocationsUnwritable:
                self._unwritten += 1
                continue
            token = seen(f"late-{number}")
            while answer(self._known, token) != "TOKEN_REVOKED":
                if self._over.wait(0.002):
                    return
            self.longest_way = max(self.longest_way, time.monotonic() - began)


@contextmanager
def figures(server: RedisServer, what: str) -> Iterator[dict[str, float]]:
    """Print what Redis did meanwhile."""
    with server.client() as client:
        client.config_resetstat()
        client.execute_command("SLOWLOG", "RESET")
        before, began = client.info("cpu"), time.monotonic()
        found: dict[str, float] = {}
        yield found
        seconds, after = time.monotonic() - began, client.info("cpu")
        cpu = sum(after[name] - before[name] for name in ("used_cpu_user", "used_cpu_sys"))
        stats = client.info("stats")
        slow = [one["duration"] / 1000 for one in client.slowlog_get(10_000)]
        print(
            f"  {what:9} Redis: {cpu:.2f} s of processor in {seconds:.1f} s "
            f"({cpu / seconds:.0%}), {stats['total_commands_processed']:,} commands, "
            f"{stats['total_net_output_bytes'] / 1e6:,.0f} MB out, memory at most "
            f"{client.info('memory')['used_memory_peak'] / 1e6:,.0f} MB"
        )
        print(
            f"  {what:9} blocked by one command: {max(slow, default=0):.1f} ms at most; "
            f"{len(slow):,} of more than {SLOW / 1000:.0f} ms, {sum(slow) / 1000:.2f} s in all",
            flush=True,
        )


def _redis(daemons: int, entries: int, before: bool) -> bool:
    logging.disable()  # what fails is counted
    with (
        tempfile.TemporaryDirectory() as folder,
        redis_server(Path(folder), durable=False) as server,
    ):
        create(server.settings)
        publish(
            server.settings, [revoked_token(f"token-{n:08}", until=FAR) for n in range(entries)]
        )
        tidy(server.settings)
        with server.client() as client:
            size = client.strlen(f"{{{server.settings.key}}}:snapshot")
            client.config_set("slowlog-log-slower-than", SLOW)
            client.config_set("slowlog-max-len", 10_000)
        how = "by one script" if before else "in pieces"
        print(f"{daemons} daemons, {entries:,} entries, {size / 1e6:.1f} MB, loaded {how}:")
        fleet = Daemons(server.settings, daemons, before=before)
        witness = Witness(server)
        well = True
        try:
            witness.take()
            with figures(server, "start"):
                loaded = fleet.do("start")
            well &= _tell("start", loaded, witness)
            short = sum(count < entries for count in loaded.counts)
            if short:
                print(f"  {short} daemons believed a list that was not whole")
                well = False
            with figures(server, "idle"):
                time.sleep(IDLE)
            print(f"  {'idle':9} {witness.take()}")
            with figures(server, "reconnect"), server.client() as client:
                loaded = fleet.do("again", lambda: _break_all(client))
            # That a connection was broken is a failure, and here it is meant.
            meant = [one for one in loaded.problems if "onnection" in one]
            _tell("reconnect", loaded._replace(problems=loaded.problems[len(meant) :]), witness)
        finally:
            witness.end()
            fleet.end()
        return well or before


def _break_all(client: redis.Redis) -> None:
    client.execute_command("CLIENT", "KILL", "TYPE", "normal", "SKIPME", "yes")


def _tell(what: str, loaded: Loaded, witness: Witness) -> bool:
    seconds = sorted(loaded.seconds)
    print(
        f"  {what:9} {len(loaded.problems)} attempts failed; whole after "
        f"{seconds[len(seconds) // 2]:.2f} s (median), {seconds[-1]:.2f} s (last)"
    )
    for problem, times in Counter(loaded.problems).most_common(3):
        print(f"  {'':9} {times} × {problem}")
    print(f"  {what:9} {witness.take()}", flush=True)
    return not loaded.problems and seconds[-1] < PATIENCE


# -- what is asked now and then ------------------------------------------------------------------


def _most(moments: Iterable[float]) -> int:
    """Return how many of the moments fall into one second, at most."""
    return max(Counter(int(moment) for moment in moments).values(), default=0)


def _spread(what: str, daemons: int, random_: list[float], fixed: list[float]) -> bool:
    rate = len(random_) / HOUR
    most, in_step = _most(random_), _most(fixed)
    print(
        f"  {what}: {rate:.1f} a second on the average, {most} in the busiest second; "
        f"without chance {in_step}"
    )
    return most < daemons / 2


def _keys(daemons: int, _entries: int, _before: bool) -> bool:
    print(
        f"{daemons} daemons that fetch the keys of one issuer, for an hour after the first fetch:"
    )
    fetch = FakeFetch(key())
    dice = random.Random(1)

    def moments(uniform: Callable[[float, float], float]) -> list[float]:
        found = []
        for _ in range(daemons):
            clock = Clock(0.0)
            keys = RefreshedKeys(settings(), fetch, clock, lambda _: None, uniform=uniform)
            keys.refresh()
            while keys.due_at < HOUR:
                clock.now = keys.due_at
                found.append(clock.now)
                keys.refresh()
        return found

    return _spread("renewals", daemons, moments(dice.uniform), moments(lambda _, most: most))


def _policies(daemons: int, _entries: int, _before: bool) -> bool:
    print(f"{daemons} daemons that look for changed policies every 30 s, for an hour:")
    dice = random.Random(1)

    def moments(uniform: Callable[[float, float], float], failures: int = 0) -> list[float]:
        found = []
        for _ in range(daemons):
            moment = pause(30, failures, uniform)
            while moment < HOUR:
                found.append(moment)
                moment += pause(30, failures, uniform)
        return found

    def middle(least: float, most: float) -> float:
        return (least + most) / 2

    return _spread("looks", daemons, moments(dice.uniform), moments(middle))


def main() -> None:
    parts: dict[str, Callable[[int, int, bool], bool]] = {
        "redis": _redis,
        "keys": _keys,
        "policies": _policies,
    }
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help=f"{', '.join(parts)}; or all")
    parser.add_argument("--daemons", type=int, default=400)
    parser.add_argument("--entries", type=int, default=100_000)
    parser.add_argument("--before", action="store_true", help="load the list by one script")
    options = parser.parse_args()
    if unknown := set(options.parts) - parts.keys():
        parser.error(f"no such part: {', '.join(sorted(unknown))}")
    well = [
        parts[name](options.daemons, options.entries, options.before)
        for name in options.parts or parts
    ]
    sys.exit(not all(well))


if __name__ == "__main__":
    main()
