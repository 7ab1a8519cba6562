"""Delivers records from the spool to one destination, in order and at least once.

A courier is a thread. It reads a batch, delivers it, moves its cursor, and takes the next batch. If
a delivery fails, it retries with growing pauses until it succeeds. If the destination refuses a
batch for good, the courier halves the batch until the refused records are alone. It parks these in
a file, and delivers the others. In place of records that are missing from the spool, it delivers a
`gap`.

Invariants: the cursor never passes a record that was neither delivered nor parked. Records are
delivered in the order of their decisions.
"""

from __future__ import annotations

import logging
import random
import time
from collections.abc import Callable, Sequence
from threading import Event, Thread
from typing import Final

import msgspec

from policyd.audit.schema import gap_line
from policyd.audit.sinks.destination import Destination, Outcome
from policyd.audit.sinks.file import FileSink
from policyd.audit.spool import Cursor, Reader, Spool
from policyd.audit.spool.cursor import CursorDamaged

_log = logging.getLogger(__name__)
#: Seconds to wait before the first retry, and at most before later ones; a server may ask for up to
#: an hour.
_SHORTEST: Final = 0.5
_LONGEST: Final = 60.0
_LONGEST_ASKED: Final = 3600.0
PARKED: Final = ".parked.ndjson"


class Batches(msgspec.Struct, frozen=True):
    """The size of a batch, and the seconds after which an incomplete batch is delivered at the
    latest."""

    records: int = 1000
    bytes: int = 1024 * 1024
    seconds: float = 1.0


_BATCHES: Final = Batches()


class _Part(msgspec.Struct, frozen=True):
    """Records that are being delivered; each stands for `weight` numbers of the spool."""

    records: Sequence[bytes]
    weight: int = 1


class Figures(msgspec.Struct):
    """Counters since the start, in records; `retried` counts failed attempts.

    `missing` counts records that were no longer in the spool; `damaged` is in bytes.
    """

    delivered: int = 0
    parked: int = 0
    missing: int = 0
    retried: int = 0
    damaged: int = 0


class Courier:
    """Delivers for the sink `name`. `clock` is for gaps, in seconds since the epoch.

    `pause(seconds)` waits, and returns whether the daemon stops; by default, until `stop` is set.
    """

    def __init__(
        self,
        name: str,
        destination: Destination,
        spool: Spool,
        batches: Batches = _BATCHES,
        clock: Callable[[], float] = time.time,
        *,
        pause: Callable[[float], bool] | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        """Read the cursor, or create one at the oldest record of the spool.

        Raises:
            OSError: the cursor cannot be read or created.
        """
        self.name = name
        self._destination = destination
        self._spool = spool
        self._batches = batches
        self._clock = clock
        self._chance = chance
        self.figures = Figures()
        self._trouble: str | None = None  # why records wait
        self._unsaved: str | None = None  # why the cursor is behind
        self._parked = spool.folder / f"{name}{PARKED}"
        self._cursor = Cursor(spool.folder, name)
        self._reader = Reader(spool, self._begin())
        self._done = self._cursor.position  # records before this one are delivered or parked
        self._parts: list[_Part] = []  # read and not done; the next is the last
        self._tries = 0
        self._stop = Event()
        self._last = False
        self._pause = pause or self._stop.wait
        self._reopen = False
        self._thread = Thread(target=self._run, name=f"decision-log-{name}", daemon=True)

    def _begin(self) -> int:
        """Return the position of the cursor."""
        cursor = self._cursor
        try:
            known = cursor.load()
        except CursorDamaged:
            known = False
            _log.error(
                "the cursor of a sink is damaged; it gets all that the spool has, some of it again",
                extra={"sink": self.name},
            )
        if not known:
            cursor.save(self._spool.begin)
        return cursor.position

    @property
    def problem(self) -> str | None:
        """What is wrong, in one sentence; `None` while records are delivered."""
        return self._trouble or self._unsaved

    @property
    def position(self) -> int:
        """The number of the first record that a restart would deliver again."""
        return self._cursor.position

    @property
    def lag(self) -> int:
        """How many records wait for this sink."""
        return max(0, self._spool.end - self._done)

    def start(self) -> None:
        """Begin to deliver."""
        self._thread.start()

    def reopen(self) -> None:
        """Ask the courier's thread to reopen the destination."""
        self._reopen = True

    def stop(self) -> None:
        """Ask the thread to stop, after one more attempt to deliver what is there."""
        self._stop.set()

    def join(self, seconds: float) -> bool:
        """Wait at most that many seconds for the thread to end, then have it end after its batch;
        return whether it has ended."""
        if self._thread.ident is None:
            return True
        self._thread.join(seconds)
        self._last = True
        return not self._thread.is_alive()

    def _run(self) -> None:
        while not self._pause(self._batches.seconds):
            self.deliver()
        self.deliver()
        self._reader.close()
        self._destination.close()

    def deliver(self) -> None:
        """Deliver what is there. The courier's thread calls this; tests call it without a
        thread."""
        try:
            if self._reopen:
                self._reopen = False
                self._destination.reopen()
            self._acknowledge()  # what could not be saved before
            while not self._last and (self._parts or self._read()):
                done = self._bring()
                self._acknowledge()
                if not done:
                    return
        except OSError as error:
            self._say(f"the spool cannot be read: {error.strerror}")
        except Exception:
            # A defect must not end the delivery of all later records.
            _log.exception("a sink failed; it goes on", extra={"sink": self.name})

    def _read(self) -> bool:
        """Take the next batch from the spool; return whether there is one."""
        batch = self._reader.read(self._batches.records, self._batches.bytes)
        self.figures.damaged = self._reader.damaged
        if batch.records:
            self._parts.append(_Part(batch.records))
        if batch.missing:
            self.figures.missing += batch.missing
            _log.warning(
                "records are missing from the spool",
                extra={"sink": self.name, "records": batch.missing},
            )
            gap = gap_line(self._clock(), batch.missing)
            self._parts.append(_Part([gap], batch.missing))
        return bool(batch)

    def _acknowledge(self) -> None:
        """Move the cursor."""
        if self._done == self._cursor.position:
            return
        try:
            self._cursor.save(self._done)
            self._unsaved = None
        except OSError as error:
            problem = f"the cursor cannot be written: {error.strerror}"
            if self._unsaved is None:
                _log.error(
                    "a restart would deliver again", extra={"sink": self.name, "problem": problem}
                )
            self._unsaved = problem

    def _bring(self) -> bool:
        """Deliver or park what was read; return whether that is complete, which it is not if the
        daemon stops meanwhile."""
        while self._parts:
            part = self._parts[-1]
            outcome = self._tried(part.records)
            self._over(outcome.taken)
            self.figures.delivered += outcome.taken
            if outcome.taken:
                self._tries = 0
            if outcome.taken == len(part.records):
                self._say(None)
                continue
            problem: str | None = outcome.problem or "it takes no more"
            if outcome.refused:
                problem = self._judge(problem)
            if problem is not None and not self._wait(problem, outcome.retry_after):
                return False
        return True

    def _over(self, number: int) -> None:
        """Remove that many records from those being delivered."""
        part = self._parts.pop()
        self._done += number * part.weight
        if number < len(part.records):
            self._parts.append(_Part(part.records[number:], part.weight))

    def _judge(self, problem: str | None) -> str | None:
        """Find the refused record of a part and park it; return the problem if that failed."""
        records, weight = self._parts[-1].records, self._parts[-1].weight
        if len(records) > 1:
            middle = len(records) // 2
            halves = (records[middle:], records[:middle])
            self._parts[-1:] = [_Part(half, weight) for half in halves]
            return None
        failure = self._park(records[0], problem)
        if failure is None:
            self._over(1)
        return failure

    def _wait(self, problem: str, asked: float | None) -> bool:
        """Wait before the next attempt; return whether to make one."""
        self._say(problem)
        self.figures.retried += 1
        seconds = self._seconds(self._tries, asked)
        self._tries += 1
        return not self._pause(seconds)

    def _tried(self, records: Sequence[bytes]) -> Outcome:
        try:
            return self._destination.deliver(records)
        except Exception:
            _log.exception("a sink failed; it goes on", extra={"sink": self.name})
            return Outcome(0, "it failed; the daemon's log says how")

    def _seconds(self, tries: int, asked: float | None) -> float:
        """Return the seconds before the next attempt: up to twice as long each time, with jitter so
        that daemons do not retry all at once, and never less than the server asked for."""
        longest = min(_LONGEST, _SHORTEST * 2.0 ** min(tries, 10))
        chosen = longest * (0.5 + 0.5 * self._chance())
        return max(chosen, min(asked or 0.0, _LONGEST_ASKED))

    def _park(self, record: bytes, problem: str | None) -> str | None:
        """Append a record to the file of parked records; return the problem if that failed."""
        try:
            file = FileSink(self._parked)
        except OSError as error:
            return f"a refused record cannot be parked: {error.strerror}"
        try:
            line = record + b"\n"
            if file.write(line) < len(line) or not file.settle():
                return f"a refused record cannot be parked: {file.problem}"
        finally:
            file.close()
        self.figures.parked += 1
        _log.error(
            "a record was refused, and parked",
            extra={"sink": self.name, "problem": problem, "file": str(self._parked)},
        )
        return None

    def _say(self, problem: str | None) -> None:
        before, self._trouble = self._trouble, problem
        if problem is not None and before is None:
            _log.error("records wait for a sink", extra={"sink": self.name, "problem": problem})
        elif problem is None and before is not None:
            _log.warning("a sink takes records again", extra={"sink": self.name})
