"""A fair queue for calls that arrive faster than they can be begun.

gRPC delivers calls in the order of their arrival. So a caller that opens thousands of calls, over
one connection after another, would make all other callers wait behind these, and gRPC keeps about
25 KB for each call. Taking a call from gRPC costs a third of beginning it, and dropping it costs
nothing more. So under a flood, all calls are taken from gRPC and wait here, and are begun in turns:
one call of each connection at a time.

Most calls of a flood are dead when their turn comes: their caller has reset them or closed the
connection. Therefore a connection becomes *known* when a question arrives over it, and turns
alternate between known connections and strangers, however many strangers there are. If too many
calls wait, strangers lose calls first, down to their share of the places. Among equals, the
connections with the most calls lose the most, their oldest calls first.

Only the loop's thread uses this.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from typing import Generic, TypeVar

ArrivalT = TypeVar("ArrivalT")

#: The most calls that may wait; how many are left after a cut; and how many of these are for
#: strangers.
MOST, LEFT, OF_STRANGERS = 1_000, 750, 250
#: The most known connections that are remembered, which is more than may be open.
REMEMBERED = 1_024


class _Queue(Generic[ArrivalT]):
    """Calls of connections with equal rights, which take turns of one call each."""

    def __init__(self) -> None:
        # In the order of their turns.
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
        if waiting:  # its next turn comes last
            self._connections[connection] = waiting
        return call

    def cut(self, left: int, let_go: Callable[[ArrivalT], None]) -> None:
        """Drop calls until that many are left: first from the connections with the most calls, and
        then in order."""
        most = max(1, _level([len(waiting) for waiting in self._connections.values()], left))
        for waiting in self._connections.values():
            while len(waiting) > most:
                let_go(waiting.popleft())
                self.count -= 1
        while self.count > left:  # there are more connections than places
            let_go(self.take())


class Arrivals(Generic[ArrivalT]):
    """The waiting calls; `let_go` is called with each call that is dropped."""

    def __init__(self, let_go: Callable[[ArrivalT], None]) -> None:
        self._let_go = let_go
        # The connections that were silent longest come first.
        self._names: dict[bytes, None] = {}
        self._known: _Queue[ArrivalT] = _Queue()
        self._strangers: _Queue[ArrivalT] = _Queue()
        self._known_last = False

    def __len__(self) -> int:
        return self._known.count + self._strangers.count

    def know(self, connection: bytes) -> None:
        """Remember that a question arrived over a connection."""
        self._names.pop(connection, None)
        self._names[connection] = None
        if len(self._names) > REMEMBERED:
            del self._names[next(iter(self._names))]

    def add(self, connection: bytes, call: ArrivalT) -> None:
        """Add a call."""
        queue = self._known if connection in self._names else self._strangers
        queue.add(connection, call)
        if len(self) > MOST:
            self._make_room()

    def take(self) -> ArrivalT:
        """Return the next call, alternating between known connections and strangers.

        Raises `StopIteration` if none waits.
        """
        known, strangers = self._known, self._strangers
        self._known_last = bool(known.count) and not (self._known_last and strangers.count)
        return (known if self._known_last else strangers).take()

    def _make_room(self) -> None:
        """Drop calls until few enough are left."""
        self._strangers.cut(max(OF_STRANGERS, LEFT - self._known.count), self._let_go)
        self._known.cut(LEFT - self._strangers.count, self._let_go)


def _level(amounts: list[int], total: int) -> int:
    """Return the greatest limit such that all amounts, each cut to the limit, sum up to `total` at
    most."""
    left = len(amounts)
    for amount in sorted(amounts):
        if amount * left > total:
            break
        total -= amount
        left -= 1
    return total // left if left else max(amounts, default=0)
