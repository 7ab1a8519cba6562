"""Calls that arrived faster than they can be begun, until their turn comes.

gRPC hands calls over in the order in which they came. A caller that opens calls by the thousand,
over one connection after another, would have all others wait behind them, and gRPC keeps some
25 KB for each. To take a call over costs a third of what it costs to begin one, and to let it go
costs nothing more. So when many have come, they are all taken over, and wait here: one of each
connection is begun in its turn.

Most calls of a flood are dead when their turn comes: their caller has reset them, or its connection
is over. So a connection over which a question came is known, and the turns of known connections and
of strangers alternate, however many strangers there are. Where too many calls wait, strangers lose
theirs first, down to a share of the places. Of equals, the connections that have most lose most,
their oldest calls first.

Only the loop's thread uses this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

ArrivalT = TypeVar("ArrivalT")

#: Calls that may wait; where there are more, so many are left, and so many of strangers stay.
MOST, LEFT, OF_STRANGERS = 1_000, 750, 250
#: Connections that are remembered as known: more than there may be.
REMEMBERED = 1_024


class _Queue(Generic[ArrivalT]):
    """Calls of equal connections, which have turns of one call each."""

    def __init__(self) -> None:
        # In the order in which their turns come.
        self._connections: dict[bytes, deque[ArrivalT]] = {}
        self.count = 0

    def add(self, connection: bytes, call: ArrivalT) -> None:
        waiting = self._connections.get(connection)
        if waiting is None:
            waiting = self._connections[connection] = deque()
        waiting.append(call)
        self.count += 1

    def take(self) -> ArrivalT:
        """Return the oldest call of the connection whose turn it is."""
        connection = next(iter(self._connections))
        waiting = self._connections.pop(connection)
        call = waiting.popleft()
        self.count -= 1
        if waiting:  # and its next turn comes last
            self._connections[connection] = waiting
        return call

    def cut(self, left: int, let_go: Callable[[ArrivalT], None]) -> None:
        """Let calls go until so many are left: of who has most, and then in their order."""
        most = max(1, _level([len(waiting) for waiting in self._connections.values()], left))
        for waiting in self._connections.values():
            while len(waiting) > most:
                let_go(waiting.popleft())
                self.count -= 1
        while self.count > left:  # of more connections than places
            let_go(self.take())


class Arrivals(Generic[ArrivalT]):
    """The calls that wait; `let_go` is told of each that will not be begun."""

    def __init__(self, let_go: Callable[[ArrivalT], None]) -> None:
        self._let_go = let_go
        # The longest unheard first.
        self._names: dict[bytes, None] = {}
        self._known: _Queue[ArrivalT] = _Queue()
        self._strangers: _Queue[ArrivalT] = _Queue()
        self._known_last = False

    def __len__(self) -> int:
        return self._known.count + self._strangers.count

    def know(self, connection: bytes) -> None:
        """Remember that a question came over a connection."""
        self._names.pop(connection, None)
        self._names[connection] = None
        if len(self._names) > REMEMBERED:
            del self._names[next(iter(self._names))]

    def add(self, connection: bytes, call: ArrivalT) -> None:
        """Have a call wait."""
        queue = self._known if connection in self._names else self._strangers
        queue.add(connection, call)
        if len(self) > MOST:
            self._make_room()

    def take(self) -> ArrivalT:
        """Return the next call: of a known connection and of a stranger, in turn.

        Raises `StopIteration` when none waits.
        """
        known, strangers = self._known, self._strangers
        self._known_last = bool(known.count) and not (self._known_last and strangers.count)
        return (known if self._known_last else strangers).take()

    def _make_room(self) -> None:
        """Let calls go until few enough are left."""
        self._strangers.cut(max(OF_STRANGERS, LEFT - self._known.count), self._let_go)
        self._known.cut(LEFT - self._strangers.count, self._let_go)


def _level(amounts: list[int], total: int) -> int:
    """Return the greatest amount to which each may be cut, so that all come to `total` at most."""
    left = len(amounts)
    for amount in sorted(amounts):
        if amount * left > total:
            break
        total -= amount
        left -= 1
    return total // left if left else max(amounts, default=0)
