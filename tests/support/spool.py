"""Numbered records for tests of the spool, and a destination that does what a test says."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from policyd.audit.sinks import Outcome
from policyd.audit.spool import Reader, Spool


def lines(first: int, number: int = 1, padding: int = 0) -> bytes:
    """Return so many records, which tell their numbers."""
    text = "x" * padding
    numbers = range(first, first + number)
    return b"".join(json.dumps({"n": n, "x": text}).encode() + b"\n" for n in numbers)


def number(record: bytes) -> int:
    """Return a record's number, and that of a gap below zero: minus how many are missing."""
    made = json.loads(record)
    return -int(made["dropped"]) if made.get("type") == "gap" else int(made["n"])


def read_all(spool: Spool, position: int = 0) -> tuple[list[int], int]:
    """Return the numbers of the records from a position on, and how many are missing."""
    reader = Reader(spool, position)
    found: list[int] = []
    missing = 0
    while batch := reader.read(7, 1 << 20):
        missing += batch.missing
        found += map(number, batch.records)
    reader.close()
    return found, missing


@contextmanager
def opened(folder: Path, max_bytes: int = 1 << 30, *, drops: bool = True) -> Iterator[Spool]:
    """Open a spool of small segments."""
    spool = Spool(folder, max_bytes, drops=drops, segment_bytes=2048)
    try:
        yield spool
    finally:
        spool.close()


class Receiver:
    """Keeps what is delivered; `judge` may say something else of a batch."""

    def __init__(self, judge: Callable[[Sequence[bytes]], Outcome | None] | None = None) -> None:
        self.numbers: list[int] = []
        self.judge = judge
        self.reopened = 0
        self.closed = False

    def deliver(self, records: Sequence[bytes]) -> Outcome:
        outcome = None if self.judge is None else self.judge(records)
        outcome = outcome or Outcome(len(records))
        self.numbers += map(number, records[: outcome.taken])
        return outcome

    def reopen(self) -> None:
        self.reopened += 1

    def close(self) -> None:
        self.closed = True
