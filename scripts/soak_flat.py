"""An even load for the soak, and whether the daemon stays as it was: a table of tenths of the run.

A call is due at its moment, whether the one before was answered or not, and its latency counts from
that moment: so a daemon that stalls is not asked less in the meantime, and the stall shows.
"""

from __future__ import annotations

import selectors
import time
from array import array
from collections.abc import Sequence
from itertools import cycle

import msgspec

from bench.load import Connection, LoadError, Method

IN_FLIGHT = 32
#: Seconds of silence that are a failure, and of delay after which calls are let go.
_PATIENCE, _LONGEST_DELAY = 30.0, 5.0
#: What may come on top from the third and fourth tenth to the last two: memory, median, p99.
MEMORY, MEDIAN, HIGH = 1.03, 1.25, 1.5


class Tenth(msgspec.Struct, frozen=True):
    """A tenth of the run: latencies in milliseconds, memory in megabytes at its end."""

    minutes: float
    answers: int
    rate: float
    median: float
    high: float
    slowest: float
    resident: float

    def __str__(self) -> str:
        return (
            f"{self.minutes:7.1f} {self.answers:11,} {self.rate:8,.0f} {self.median:8.2f} "
            f"{self.high:8.2f} {self.slowest:8.0f} {self.resident:8.1f}"
        )


HEADING = " minutes     answers  each s   p50 ms   p99 ms   max ms       MB"


class _Punctual(Connection):
    """A connection whose calls were due at a moment."""

    def call_due(self, message: bytes, moment: float) -> None:
        """Begin a call; its latency counts from `moment`, of `time.perf_counter`.

        From later, if the server's window has no room for it now.
        """
        stream = self._stream
        self.call(message)
        if stream in self._begun:
            self._begun[stream] = moment


def evenly(
    address: tuple[str, int],
    method: Method,
    messages: Sequence[bytes],
    rate: float,
    seconds: float,
    latencies: array[float],
) -> None:
    """Send `rate` calls a second for so many seconds, over one connection; add their latencies in
    seconds.

    At most `IN_FLIGHT` are under way; the next waits, and its waiting counts. Raises `LoadError`.
    """
    turn = cycle(messages)
    connection = _Punctual(address, method)
    try:
        with selectors.DefaultSelector() as selector:
            selector.register(connection.socket, selectors.EVENT_READ)
            begin = heard = time.perf_counter()
            sent = ended = 0
            skipped = 0.0  # what was let go, in seconds
            while True:
                now = time.perf_counter()
                over = now >= begin + seconds
                if over and sent == ended:
                    break
                if not over:
                    delay = now - begin - skipped - sent / rate
                    if delay > _LONGEST_DELAY:
                        skipped += delay
                    due = int((now - begin - skipped) * rate) - sent
                    for _ in range(min(due, IN_FLIGHT - (sent - ended))):
                        connection.call_due(next(turn), begin + skipped + sent / rate)
                        sent += 1
                    connection.flush()
                waits = sent - ended
                pause = 0.05 if waits >= IN_FLIGHT or over else 1 / rate
                if selector.select(timeout=pause):
                    ended += connection.receive()
                    heard = time.perf_counter()
                elif waits and time.perf_counter() - heard > _PATIENCE:
                    raise LoadError(f"the server was silent for {_PATIENCE:.0f} s")
                elif not waits:
                    heard = time.perf_counter()
    finally:
        connection.socket.close()
    latencies.extend(connection.latencies)


def tenth(minutes: float, seconds: float, latencies: array[float], resident: float) -> Tenth:
    """Sum up a tenth of the run, in which callers asked for so many seconds."""
    ordered = sorted(latencies)

    def below(part: float) -> float:
        return 1000 * ordered[int(part * (len(ordered) - 1))]

    number = len(ordered)
    return Tenth(minutes, number, number / seconds, below(0.5), below(0.99), below(1.0), resident)


def drift(tenths: Sequence[Tenth]) -> list[str]:
    """Return what grew, from the third and fourth tenth to the last two.

    The first two are for caches to fill. The greater of two is held against the smaller of two, so
    that one bad moment of the machine is no growth.
    """
    if len(tenths) < 10:
        return []
    early, late = tenths[2:4], tenths[-2:]
    found = []
    for name, unit, values, most in (
        ("memory", "MB", [one.resident for one in (*early, *late)], MEMORY),
        ("the median", "ms", [one.median for one in (*early, *late)], MEDIAN),
        ("the 99th percentile", "ms", [one.high for one in (*early, *late)], HIGH),
    ):
        before, after = max(values[:2]), min(values[2:])
        if after > most * before:
            found.append(
                f"{name} grew by {after / before - 1:.0%}: {before:.2f} {unit} in the third and "
                f"fourth tenth, {after:.2f} {unit} in the last two"
            )
    return found
