"""A sample of the decisions on their way to the log, until there is time for them.

Invariants: adding waits for nothing but others that move entries within memory. What finds no room
is dropped and counted. A decision that is not chosen costs one random number.
"""

from __future__ import annotations

import random
import threading
from collections import deque
from collections.abc import Callable, Sequence
from typing import Final

from policyd.audit import Entry
from policyd.audit.queue import ENTRY_BYTES

CAPACITY: Final = 4096
CAPACITY_BYTES: Final = 8 * 1024 * 1024
#: How many are taken at a time.
_CHUNK: Final = 64


class Sample:
    """Entries that were chosen, in order. Closed at first; a closed one takes nothing.

    `rate` is the share that is chosen, `uniform()` a number from 0 to 1.
    """

    def __init__(
        self,
        rate: float,
        capacity: int = CAPACITY,
        capacity_bytes: int = CAPACITY_BYTES,
        uniform: Callable[[], float] = random.random,
    ) -> None:
        self.rate = rate
        self.open = False
        #: Entries that were chosen and found no room.
        self.dropped = 0
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._uniform = uniform
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._changed = threading.Condition()
        self._woken = False

    def observe(self, entries: Sequence[Entry]) -> None:
        """Choose from a chunk of the decision log."""
        if not self.open:
            return
        rate, uniform = self.rate, self._uniform
        chosen = [one for one in entries if uniform() < rate]
        if chosen:
            self._add([one for one in chosen if one.decision.partial is None])

    def _add(self, entries: Sequence[Entry]) -> None:
        with self._changed:
            for entry in entries:
                size = ENTRY_BYTES + entry.details.weight
                full = len(self._entries) >= self._capacity
                if full or (self._entries and self._bytes + size > self._capacity_bytes):
                    self.dropped += 1
                    continue
                self._entries.append(entry)
                self._bytes += size
            self._changed.notify()

    def wake(self) -> None:
        """Let who waits for entries go on without."""
        with self._changed:
            self._woken = True
            self._changed.notify()

    def take(self) -> list[Entry]:
        """Wait for entries, and return the next ones; none after `wake`."""
        with self._changed:
            self._changed.wait_for(lambda: self._entries or self._woken)
            self._woken = False
            taken = [self._entries.popleft() for _ in range(min(_CHUNK, len(self._entries)))]
            self._bytes -= sum(ENTRY_BYTES + one.details.weight for one in taken)
            return taken
