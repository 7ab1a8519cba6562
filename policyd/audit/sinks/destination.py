"""The interface of sinks that are fed from the spool, each by its own thread (`Courier`).

To add one: write a module here with a class that is a `Destination`. Its `deliver` gets records in
order, and returns an `Outcome`:

    return Outcome(len(records))                       all are delivered, for good
    return Outcome(3, "the connection broke")          three are; the rest is tried again, later
    return Outcome(0, "answered 503", retry_after=30)  in 30 seconds at the earliest
    return Outcome(0, "answered 400", refused=True)    trying again would not help

The courier halves a refused batch and offers it again, until single records are refused. It parks
these in a file, and continues. So a destination neither waits nor retries nor counts; it only has
to return within a bounded time.

Records are delivered at least once: after a crash, the last ones may come again, with the same
`decision_id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Outcome(msgspec.Struct, frozen=True):
    """The result for a batch: its first `taken` records are delivered for good.

    If that is less than all, `problem` says in one sentence why the next record was not delivered.
    `refused` is true if retrying that record would not help. `retry_after` is the time in seconds
    that the other side asks to wait, if any.
    """

    taken: int
    problem: str | None = None
    refused: bool = False
    retry_after: float | None = None


class Destination(Protocol):
    """A place for records. One thread calls all methods."""

    def deliver(self, records: Sequence[bytes]) -> Outcome:
        """Deliver one or more records, each a line of JSON without line feed.

        Returns within a bounded time. Expected failures are outcomes, not exceptions. An exception
        is logged, and the delivery is retried.
        """
        ...

    def reopen(self) -> None:
        """Reopen the destination: an operator asked for it (SIGHUP)."""
        ...

    def close(self) -> None: ...
