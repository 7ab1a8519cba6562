"""Brings decision records out of the process, off the requests' path.

A request appends an `Entry` to a queue and goes on. One thread empties the queue every 50 ms,
encodes what it held and writes it in one piece. The queue is bounded: when the sink is slower than
the decisions, the oldest entries are dropped, counted, and a `gap` record says how many.

Invariants: `append` never waits and never raises; what was appended before `close` is written, or
counted as dropped.
"""

from __future__ import annotations

import itertools
import logging
import os
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Protocol

from policyd.audit.record import Entry, Recorder

_log = logging.getLogger(__name__)
_INTERVAL = 0.05
_CHUNK = 512


class Sink(Protocol):
    """Where lines go. `write` writes all of `data` or raises OSError."""

    def write(self, data: bytes) -> None: ...

    def close(self) -> None: ...


class DecisionLog:
    """The queue and its thread. `clock` gives seconds since the epoch, for `gap` records.

    `observe` sees each chunk before it is written, in the log's own thread; what was dropped before
    the thread came to it, it never sees.
    """

    def __init__(
        self,
        recorder: Recorder,
        sink: Sink,
        capacity: int = 65_536,
        clock: Callable[[], float] = time.time,
        observe: Callable[[Sequence[Entry]], None] | None = None,
    ) -> None:
        self._recorder = recorder
        self._sink = sink
        self._capacity = capacity
        self._clock = clock
        self._observe = observe
        self._queue: deque[Entry] = deque()
        self._drops = itertools.count(1)  # one atomic step a drop
        self._dropped = 0
        self._reported = 0
        self._failing = False
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="decision-log", daemon=True)

    @property
    def dropped(self) -> int:
        """How many records were never written."""
        return self._dropped

    @property
    def waiting(self) -> int:
        """How many records wait to be written."""
        return len(self._queue)

    def start(self) -> None:
        """Begin to write."""
        self._thread.start()

    def append(self, entry: Entry) -> None:
        """Hand on a decision."""
        queue = self._queue
        queue.append(entry)
        if len(queue) > self._capacity:
            self._drop_oldest()

    def extend(self, entries: Sequence[Entry]) -> None:
        """Hand on several decisions."""
        queue = self._queue
        queue.extend(entries)
        while len(queue) > self._capacity:
            self._drop_oldest()

    def _drop_oldest(self) -> None:
        try:
            self._queue.popleft()
        except IndexError:  # the thread was quicker
            return
        self._dropped = next(self._drops)

    def close(self, timeout: float = 5.0) -> None:
        """Write what is left, wait at most `timeout` seconds for it, and close the sink."""
        self._stop.set()
        self._thread.join(timeout)
        if self._thread.is_alive():
            left = len(self._queue)
            _log.error("the decision log's sink does not take records", extra={"left": left})
            return
        self._sink.close()

    def _run(self) -> None:
        while not self._stop.wait(_INTERVAL):
            self.drain()
        self.drain()

    def drain(self) -> None:
        """Write what is in the queue; the log's own thread does it, and tests without one."""
        while True:
            self._report_drops()
            entries = self._take()
            if not entries:
                return
            self._show(entries)
            try:
                self._write(self._recorder.lines(entries), len(entries))
            except Exception:
                # A defect must not end the log for all decisions to come.
                _log.exception("records could not be encoded")
                self._lost(len(entries))

    def _show(self, entries: Sequence[Entry]) -> None:
        if self._observe is None:
            return
        try:
            self._observe(entries)
        except Exception:
            # Whatever is wrong with the observer, the records must be written.
            _log.exception("decisions could not be observed")

    def _take(self) -> list[Entry]:
        entries: list[Entry] = []
        pop = self._queue.popleft
        # An empty queue ends the loop; asking for its length first would be a look more a record.
        with suppress(IndexError):
            while len(entries) < _CHUNK:
                entries.append(pop())
        return entries

    def _write(self, data: bytes, records: int) -> bool:
        try:
            # After a write that broke off, a line may stand unfinished.
            self._sink.write(b"\n" + data if self._failing else data)
        except OSError as error:
            if not self._failing:
                _log.error("decision records cannot be written", extra={"error": str(error)})
            self._failing = True
            self._lost(records)
            return False
        if self._failing:
            self._failing = False
            _log.warning("decision records can be written again")
        return True

    def _lost(self, records: int) -> None:
        for _ in range(records):
            self._dropped = next(self._drops)

    def _report_drops(self) -> None:
        dropped = self._dropped
        if dropped == self._reported or self._failing:
            return
        fresh = dropped - self._reported
        _log.warning("decision records were dropped", extra={"dropped": fresh, "total": dropped})
        if self._write(self._recorder.gap(self._clock(), fresh), 0):
            self._reported = dropped


class FileSink:
    """Appends to a file, which others may not read."""

    def __init__(self, path: Path) -> None:
        """Open the file.

        Raises:
            OSError: it cannot be opened.
        """
        self._descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def write(self, data: bytes) -> None:
        """See `Sink`."""
        _write_all(self._descriptor, data)

    def close(self) -> None:
        """See `Sink`."""
        os.close(self._descriptor)


class StandardOutput:
    """Writes to the process's standard output."""

    def write(self, data: bytes) -> None:
        """See `Sink`."""
        _write_all(1, data)

    def close(self) -> None:
        """See `Sink`."""


def _write_all(descriptor: int, data: bytes) -> None:
    view = memoryview(data)
    while view:
        view = view[os.write(descriptor, view) :]
