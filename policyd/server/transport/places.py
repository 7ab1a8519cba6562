"""The places of calls of one kind, and the calls as far as they take room."""

from __future__ import annotations

from collections import Counter
from typing import Protocol

from policyd.server.transport.interface import CallFailed


class Share:
    """The places of calls of one kind: how many there are, and the calls that have one.

    `lasting` are calls that last by their nature: one gives way only to a connection that has fewer
    of them, and a newcomer of the connection that has most is refused. Of these, `holds` says how
    many each connection has, so that a newcomer is refused without a look at all of them.
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
        """Take its place back."""
        del self.calls[call]
        call.share = None
        if self.lasting:
            peer = call.peer()
            self.holds[peer] -= 1
            if not self.holds[peer]:
                del self.holds[peer]

    def gives_way_to(self, connection: bytes) -> bool:
        """Whether one of the calls may have to give way to a newcomer of this connection."""
        return not self.lasting or max(self.holds.values(), default=0) > self.holds[connection]


class Tenant(Protocol):
    """A call, as far as it takes room. The room alone sets `share` and `held`."""

    share: Share | None
    held: int

    @property
    def stuck_since(self) -> float | None:
        """Since when, by `time.monotonic`, a watch's message is not taken; else `None`."""
        ...

    def peer(self) -> bytes:
        """Return the connection that it came by."""
        ...

    def cancel(self, failed: CallFailed) -> None:
        """End it, whatever it waits for."""
        ...
