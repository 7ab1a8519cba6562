"""Kill the daemon at random moments under load, and hold its log against what callers were told.

`python -m scripts.crash [--times 100] [--durability sync|interval|none] [--to file|http]`

Each time a daemon is started in one and the same folder, asked by several connections as fast as it
answers, and killed (SIGKILL) after a random while. Callers note the `decision_id` of each answer
that they got, and when. At the end each of them must stand in the log, once: with `sync` all, with
`interval` and `none` all but those of the last second before a kill. Lines that a kill cut off are
counted; no other line may be unreadable. It ends with 1 where that does not hold.

With `--to http`, records go through a spool to a server that fails at random, and what counts is
what that took. There the last batch before a kill may come twice, and no line may be cut off.

A killed process loses what it holds in its memory. What the kernel holds in its own, a power cut
loses as well, and that cannot be shown here.
"""

from __future__ import annotations

import argparse
import random
import signal
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import grpc

from policyd.audit.schema import DecisionRecord, LineUnusable, read_line
from tests.support.collector import OK, Answer, collecting
from tests.support.daemon import Caller, Site, access_token, check_request, resource

_CALLERS = 8
#: Seconds from the first question to the kill.
_SHORTEST, _LONGEST = 0.02, 0.6
_SECOND = 1.0


class Answered(NamedTuple):
    """A decision that a caller was told, and the seconds from then to the kill."""

    decision_id: str
    before_kill: float


class Found(NamedTuple):
    """What the log holds: how often each decision, and how many lines that a kill cut off."""

    decisions: Counter[str]
    torn: int
    unreadable: list[str]


def main() -> None:
    options = _options()
    dice = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as name:
        site = Site(Path(name), options.transport)
        if options.to == "http":
            answered, found = _through_a_spool(site, dice, options)
        else:
            site.configure(
                decision_log=f'path = "decisions.ndjson"\ndurability = "{options.durability}"'
            )
            answered = _kill(site, dice, options.times)
            found = _read(site.decisions.read_bytes().split(b"\n"))
    _judge(answered, found, options)


def _kill(site: Site, dice: random.Random, times: int) -> list[Answered]:
    """Kill the daemon so many times, and return what it answered."""
    answered: list[Answered] = []
    for number in range(times):
        answered += _run(site, dice)
        if sys.stderr.isatty():
            print(f"\r{number + 1} of {times}", end="", file=sys.stderr)
    return answered


def _through_a_spool(
    site: Site, dice: random.Random, options: argparse.Namespace
) -> tuple[list[Answered], Found]:
    """Let records go to a server, which takes three batches of four; and at the end let a daemon
    deliver what is left."""
    chance = random.Random(options.seed)
    with collecting(lambda _: OK if chance.random() < 0.75 else Answer(503)) as collector:
        site.configure(
            decision_log=f'durability = "{options.durability}"\n[[decision_log.sinks]]\n'
            f'kind = "http"\nurl = "{collector.url}"\nbatch_seconds = 0.05\n'
            '[http]\nlisten = ["127.0.0.1:0"]\n'
        )
        answered = _kill(site, dice, options.times)
        with site.start() as daemon:
            while 'policyd_decision_log_sink_lag{sink="http"} 0.0' not in daemon.page("/metrics"):
                time.sleep(0.1)
        return answered, _read(collector.lines)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--times", type=int, default=100)
    parser.add_argument("--durability", choices=("sync", "interval", "none"), default="sync")
    parser.add_argument("--to", choices=("file", "http"), default="file")
    parser.add_argument("--transport", choices=("event", "standard"), default="event")
    parser.add_argument("--seed", type=int, default=1)
    return parser.parse_args()


def _run(site: Site, dice: random.Random) -> list[Answered]:
    """Start a daemon, ask it, kill it, and return what it answered."""
    told: list[list[tuple[str, float]]] = [[] for _ in range(_CALLERS)]
    with site.start() as daemon:
        address = daemon.addresses[0]
        asking = [threading.Thread(target=_ask, args=(address, names)) for names in told]
        for one in asking:
            one.start()
        time.sleep(dice.uniform(_SHORTEST, _LONGEST))
        daemon.signal(signal.SIGKILL)
        killed = time.monotonic()
        for one in asking:
            one.join()
        daemon.process.wait()
    return [Answered(name, killed - at) for names in told for name, at in names]


def _ask(address: str, told: list[tuple[str, float]]) -> None:
    """Ask until nobody answers."""
    request = check_request(access_token(), resource=resource("patient", "p1", sealed=False))
    with Caller(address) as caller:
        while True:
            try:
                answer = caller.check(request)
            except grpc.RpcError:
                return
            told.append((answer.decision_id, time.monotonic()))


def _read(lines: Iterable[bytes]) -> Found:
    decisions: Counter[str] = Counter()
    torn, unreadable = 0, []
    for line in lines:
        if not line:
            continue
        try:
            record = read_line(line)
        except LineUnusable as problem:
            if problem.fault == "torn":
                torn += 1
            else:
                unreadable.append(str(problem))
            continue
        if isinstance(record, DecisionRecord):
            decisions[record.decision_id] += 1
    return Found(decisions, torn, unreadable)


def _judge(answered: list[Answered], found: Found, options: argparse.Namespace) -> None:
    lost = [one for one in answered if one.decision_id not in found.decisions]
    late = [one for one in lost if options.durability == "sync" or one.before_kill > _SECOND]
    doubles = sum(number - 1 for number in found.decisions.values())
    earliest = max((one.before_kill for one in lost), default=0.0)
    print(
        f"{options.durability} to {options.to} over {options.transport}: {options.times} kills, "
        f"{len(answered):,} answers, {len(lost):,} of them not in the log"
        + (f", the earliest {earliest:.3f} s before its kill" if lost else "")
        + f"; {doubles} twice; {found.torn} lines cut off, {len(found.unreadable)} unreadable"
    )
    wrong = found.torn if options.to == "http" else doubles
    if late or wrong or found.unreadable or not answered:
        sys.exit(1)


if __name__ == "__main__":
    main()
