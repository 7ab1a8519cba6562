"""The interface of sinks that are fed from the spool, each by a thread of its own (`Courier`).

To add one: write a module here with a class that is a `Destination`. Its `deliver` gets records in
their order and says in an `Outcome` what became of them:

    return Outcome(len(records))                       all are delivered, for good
    return Outcome(3, "the connection broke")          three are; the rest is tried again, later
    return Outcome(0, "answered 503", retry_after=30)  in 30 seconds at the earliest
    return Outcome(0, "answered 400", refused=True)    trying again would not help

What is refused is halved and offered again, until single records are refused. These are parked in
a file, and delivery goes on. So a destination neither waits nor retries nor counts; it only has to
end within a bounded time.

Records come at least once: after a crash, the last ones may come again, with the same
`decision_id`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import msgspec


class Outcome(msgspec.Struct, frozen=True):
    """What became of a batch: its first `taken` records are delivered for good.

    Where that is less than all, `problem` says in one sentence why the next one is not. `refused`
    is whether it never will be, as it is now. `retry_after` are the seconds that the other side
    asks to wait, if it does.
    """

    taken: int
    problem: str | None = None
    refused: bool = False
    retry_after: float | None = None


class Destination(Protocol):
    """Where records go. One thread calls everything."""

    def deliver(self, records: Sequence[bytes]) -> Outcome:
        """Deliver records, at least one: each a line of JSON without its line feed.

        Returns within a bounded time. Raises nothing that a destination can foresee; what it does
        raise is logged, and counts as a problem that may pass.
        """
        ...

    def reopen(self) -> None:
        """Open the place anew: an operator asked for it (SIGHUP)."""
        ...

    def close(self) -> None: ...
