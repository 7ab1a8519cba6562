"""Limits of the number of calls of one kind."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from policyd.pdp.calls import CallFailed


class Share:
    """The places for calls of one kind: their number, and the calls that have one.

    `lasting` says that these calls are long-lived, such as streams: one of them is ended only for a
    connection with fewer of them, and a new call of the connection with the most is refused. For
    such calls, `holds` counts the calls of each connection, so that a refusal need not look at all
    calls.
    """

    __slots__ = ("calls", "holds", "lasting", "most")

    def __init__(self, most: int, *, lasting: bool = False) -> None:
        self.most = most
        self.lasting = lasting
        self.calls: dict[Tenant, None] = {}
        self.holds: Counter[bytes] = Counter()

    def add(self, call: Tenant) -> None:
        """Give the call a place."""
        self.calls[call] = None
        call.share = self
        if self.lasting:
            self.holds[call.peer()] += 1

    def remove(self, call: Tenant) -> None:
        """Free the place of a call."""
        del self.calls[call]
        call.share = None
        if self.lasting:
            peer = call.peer()
            self.holds[peer] -= 1
            if not self.holds[peer]:
                del self.holds[peer]

    def gives_way_to(self, connection: bytes) -> bool:
        """Return whether a call may be ended for a new call of this connection."""
        return not self.lasting or max(self.holds.values(), default=0) > self.holds[connection]


class Tenant(Protocol):
    """A call, as its room sees it. Only the room sets `share` and `held`."""

    share: Share | None
    held: int

    @property
    def stuck_since(self) -> float | None:
        """The time, by `time.monotonic`, since which a watch's message has not been taken; else
        `None`."""
        ...

    def peer(self) -> bytes:
        """Return the name of the call's connection."""
        ...

    def cancel(self, failed: CallFailed) -> None:
        """End the call, whatever it waits for."""
        ...
