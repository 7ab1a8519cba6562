"""Writes decision records, off the path of requests.

A request appends an `Entry` to a queue and continues. One thread empties the queue every 50 ms,
encodes the entries and writes them in one piece. It retries lines that the sink does not take, so a
full disk loses nothing until the queue is full. Then the oldest entries are dropped, and a `gap`
record in their place says how many are missing.

`durability` says when a record is on disk: `none` leaves that to the kernel, `interval` syncs
within a second, and with `sync` answers wait until it is (`settled`). All answers that wait at one
moment share one sync.

Invariants: `append` never waits for the sink and never raises. Each entry that was appended before
`close` is written once, in order, or counted as dropped.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from typing import Final, Literal

from policyd.audit.queue import EntryQueue
from policyd.audit.record import Entry, Recorder
from policyd.audit.sinks import Sink

_log = logging.getLogger(__name__)
_INTERVAL = 0.05
#: The most entries taken from the queue at once; if fewer come, the queue is empty.
CHUNK: Final = 512
#: Seconds after which written records are synced to disk, with the durability `interval`.
_UNSETTLED: Final = 1.0
#: The most lines that may wait beside decisions (`note`).
_NOTES: Final = 4096
Durability = Literal["interval", "sync", "none"]
#: What happens to answers whose records cannot be queued.
WhenFull = Literal["drop_oldest", "block", "deny"]
DEFAULT_CAPACITY: Final = 65_536
DEFAULT_CAPACITY_BYTES: Final = 32 * 1024 * 1024


class DecisionLog:
    """The queue and its thread. `clock` gives seconds since the epoch, for `gap` records.

    `capacity` and `capacity_bytes` bound what waits. `observe` gets each chunk of entries before it
    is written, in the log's own thread, but never gets entries that were dropped.
    """

    def __init__(
        self,
        recorder: Recorder,
        sink: Sink,
        capacity: int = DEFAULT_CAPACITY,
        clock: Callable[[], float] = time.time,
        observe: Callable[[Sequence[Entry]], None] | None = None,
        *,
        capacity_bytes: int = DEFAULT_CAPACITY_BYTES,
        durability: Durability = "none",
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recorder = recorder
        self._sink = sink
        self._clock = clock
        self._observe = observe
        self._queue = EntryQueue(capacity, capacity_bytes, recorder.lightened)
        #: Append the entry of a decision, or those of one call. These are bound to the queue's own
        #: methods, which saves a call for each decision.
        self.append: Callable[[Entry], None] = self._queue.append
        self.extend: Callable[[Sequence[Entry], int], None] = self._queue.extend
        self._notes: deque[bytes] = deque()
        self._portions: Iterator[tuple[bytes, int]] = iter(())
        self._rest, self._records = b"", 0  # the rest of a portion, which the sink has not taken
        self._taken = 0  # entries that are not encoded yet
        #: Answers that were denied because their records could not be queued.
        self.denied = 0
        self._denying = threading.Lock()
        self._lost = 0  # beside those that made room in the queue
        self._problem: str | None = None
        self._durability = durability
        self._monotonic = monotonic
        self._settled_at = monotonic()
        # Waiting answers have numbers; those up to `_safe` need not wait any longer.
        self._waiters = threading.Condition()
        self._asked = self._safe = 0
        self._in_vain = -1  # `_safe` when an answer last timed out
        self._hurry = threading.Event()
        self._reopen = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    @property
    def dropped(self) -> int:
        """The number of records that were never written."""
        return self._queue.dropped + self._lost

    @property
    def waiting(self) -> int:
        """The number of records that wait to be written."""
        return len(self._queue) + self._taken + self._records + len(self._notes)

    @property
    def waiting_bytes(self) -> int:
        """The estimated memory of the queue, in bytes."""
        return self._queue.bytes

    @property
    def problem(self) -> str | None:
        """What is wrong, in one sentence; `None` while records are written."""
        return self._problem or self._sink.problem

    @property
    def writable(self) -> bool:
        """Whether the last write succeeded."""
        return self._problem is None

    @property
    def full(self) -> bool:
        """Whether the next record would displace the oldest one, or could not be written."""
        if self._durability == "sync" and (self._problem is not None or self._hangs):
            return True
        return self._queue.full

    @property
    def _hangs(self) -> bool:
        """Whether nothing was synced to disk since an answer timed out waiting for it."""
        return self._in_vain == self._safe

    def note(self, line: bytes) -> bool:
        """Append a line that is not a decision, with its line feed; return whether there was room.

        It comes after the decisions already written. Only one thread may call this.
        """
        if len(self._notes) >= _NOTES:
            return False
        self._notes.append(line)
        return True

    def count_denied(self, number: int) -> None:
        """Count answers that were denied because their records could not be queued."""
        with self._denying:
            self.denied += number

    def settled(self, patience: float) -> bool:
        """Wait at most `patience` seconds until everything appended before is on disk, and return
        whether it is. If writing already fails, or the disk hangs, return at once."""
        with self._waiters:
            if self._problem is not None:
                return False
            self._asked += 1
            number = self._asked
            self._hurry.set()
            if self._hangs:
                return False
            told = self._waiters.wait_for(
                lambda: self._safe >= number or self._problem is not None, patience
            )
            if not told:
                self._in_vain = self._safe
            return self._safe >= number

    def start(self) -> None:
        """Start the thread that writes."""
        self._sink.start()
        self._thread.start()

    def reopen(self) -> None:
        """Ask the thread to reopen the sink (SIGHUP)."""
        self._reopen.set()

    def close(self, timeout: float = 5.0) -> None:
        """Write the remaining entries, for at most `timeout` seconds, and close the sink."""
        self._stop.set()
        self._hurry.set()
        self._thread.join(timeout)
        left = self.waiting
        if self._thread.is_alive():
            _log.error(
                "the decision log's sink is blocked; records were not written", extra={"left": left}
            )
            return
        if left:
            self._lost += left
            self._records = self._taken = 0
            self._notes.clear()
            _log.error("decision records were never written", extra={"dropped": left})
        self._sink.close()

    def _run(self) -> None:
        while not self._stop.is_set():
            self._hurry.wait(_INTERVAL)
            self._hurry.clear()
            self.drain()
        self.drain()
        self._sink.settle()

    def drain(self) -> None:
        """Write what is in the queue. The log's thread calls this; tests call it without a
        thread."""
        try:
            if self._reopen.is_set():
                self._reopen.clear()
                self._sink.reopen()
            self._sink.look()
            asked = self._asked
            while self._written() and self._next():
                pass
            self._settle(asked)
        except Exception:
            # A defect must not end the log for all later decisions.
            _log.exception("the decision log failed; it goes on")

    def _settle(self, asked: int) -> None:
        """Sync what was written to disk, if it is time to. Then the answers up to number `asked`
        may leave."""
        if self._durability == "none":
            return
        if self._durability == "interval":
            now = self._monotonic()
            if now - self._settled_at >= _UNSETTLED and self._sink.settle():
                self._settled_at = now
        elif not self._rest:
            safe = self._sink.settle()
            self._say(None if safe else self._sink.problem or "the sink keeps no records")
            if safe and asked > self._safe:
                with self._waiters:
                    self._safe = asked
                    self._waiters.notify_all()

    def _written(self) -> bool:
        """Write the rest of a portion; return whether it is complete."""
        if not self._rest:
            return True
        taken = self._sink.write(self._rest)
        if self._records:
            self._records -= self._rest.count(b"\n", 0, taken)
        self._rest = self._rest[taken:]
        self._say(self._sink.problem or "the sink takes no records" if self._rest else None)
        return not self._rest

    def _say(self, problem: str | None) -> None:
        before, self._problem = self._problem, problem
        if problem is not None and before is None:
            with self._waiters:  # they would time out
                self._waiters.notify_all()
            _log.error("decision records cannot be written", extra={"error": problem})
        elif problem is None and before is not None:
            _log.warning("decision records can be written again")

    def _next(self) -> bool:
        """Prepare more to write, if there is anything."""
        return self._next_portion() or self._next_chunk() or self._next_notes()

    def _next_portion(self) -> bool:
        """Encode more of the taken entries, if there are any."""
        try:
            portion = next(self._portions, None)
        except Exception:
            _log.exception("records could not be encoded")
            self._lost += self._taken
            self._tell(self._taken)
            self._taken = 0
            return True
        if portion is None:
            return False
        self._rest, self._records = portion
        self._taken -= self._records
        return True

    def _next_chunk(self) -> bool:
        """Take entries from the queue, and first write a gap if entries are missing before them."""
        missing, entries = self._queue.take(CHUNK)
        if missing:
            self._tell(missing)
        if entries:
            self._show(entries)
            kept = self._recorder.kept(entries)
            self._taken = len(kept)
            self._portions = self._recorder.portions(kept)
        return bool(missing or entries)

    def _next_notes(self) -> bool:
        """Take the lines from `note`, if there are any."""
        taken = [self._notes.popleft() for _ in range(len(self._notes))]
        self._rest, self._records = b"".join(taken), len(taken)
        return bool(taken)

    def _tell(self, missing: int) -> None:
        """Write a `gap` record: records are missing here."""
        about = {"dropped": missing, "total": self.dropped}
        _log.warning("decision records were dropped", extra=about)
        self._rest, self._records = self._recorder.gap(self._clock(), missing), 0

    def _show(self, entries: Sequence[Entry]) -> None:
        if self._observe is None:
            return
        try:
            self._observe(entries)
        except Exception:
            # Even if the observer fails, the records must be written.
            _log.exception("decisions could not be observed")
