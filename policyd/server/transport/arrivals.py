"""Calls that arrived faster than they can be begun, until their turn comes.

gRPC hands calls over in the order in which they came. A caller that opens calls by the thousand,
over one connection after another, would have all others wait behind them, and gRPC keeps some
25 KB for each. To take a call over costs a third of what it costs to begin one, and to let it go
costs nothing more. So when many have come, they are all taken over, and wait here: one of each
connection is begun in its turn. Where too many wait, the connections that have most lose theirs,
the oldest first.

Only the loop's thread uses this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

ArrivalT = TypeVar("ArrivalT")

#: Calls that may wait; where there are more, so many are left.
MOST, LEFT = 1_000, 750


class Arrivals(Generic[ArrivalT]):
    """The calls that wait; `let_go` is told of each that will not be begun."""

    def __init__(self, let_go: Callable[[ArrivalT], None]) -> None:
        self._let_go = let_go
        # In the order in which their turns come.
        self._connections: dict[bytes, deque[ArrivalT]] = {}
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def add(self, connection: bytes, call: ArrivalT) -> None:
        """Have a call wait."""
        waiting = self._connections.get(connection)
        if waiting is None:
            waiting = self._connections[connection] = deque()
        waiting.append(call)
        self._count += 1
        if self._count > MOST:
            self._make_room()

    def take(self) -> ArrivalT:
        """Return the next call: the oldest of the connection whose turn it is.

        Raises `StopIteration` when none waits.
        """
        connection = next(iter(self._connections))
        waiting = self._connections.pop(connection)
        call = waiting.popleft()
        self._count -= 1
        if waiting:  # and its next turn comes last
            self._connections[connection] = waiting
        return call

    def _make_room(self) -> None:
        """Let calls go until few enough are left: of who has most, and then in their order."""
        most = max(1, _level([len(waiting) for waiting in self._connections.values()], LEFT))
        for waiting in self._connections.values():
            while len(waiting) > most:
                self._let_go(waiting.popleft())
                self._count -= 1
        while self._count > LEFT:  # of more connections than places
            self._let_go(self.take())


def _level(amounts: list[int], total: int) -> int:
    """Return the greatest amount to which each may be cut, so that all come to `total` at most."""
    left = len(amounts)
    for amount in sorted(amounts):
        if amount * left > total:
            break
        total -= amount
        left -= 1
    return total // left if left else max(amounts, default=0)
