"""The queue between decisions and the thread that writes them, bounded in records and in bytes.

Most calls are small; their entries count a fixed size, so that adding one takes no lock. Entries of
large calls are reduced first (values that no rule can read are dropped), and count what remains.
When the queue is full, the oldest entries are dropped. The reader learns how many entries are
missing before the ones that it takes.

Invariants: adding waits at most for others that move entries within memory. The newest entry always
stays, whatever its size.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from threading import Lock
from typing import Final

from policyd.audit.record import Entry

#: A call is light if its message, without the token, has at most that many bytes for each question.
LIGHT: Final = 512
#: Bytes that each entry counts, in addition to the weight of its details.
ENTRY_BYTES: Final = 2048


class EntryQueue:
    """A bounded queue of entries. Thread-safe. `capacity` is in records, `capacity_bytes` in bytes.

    `lighten` returns the entries of one call without unneeded values, and with their weight.
    """

    def __init__(
        self,
        capacity: int,
        capacity_bytes: int,
        lighten: Callable[[Sequence[Entry]], Sequence[Entry]],
    ) -> None:
        self._capacity = capacity
        self._capacity_bytes = capacity_bytes
        self._lighten = lighten
        self._entries: deque[Entry] = deque()
        # Held while entries are taken, and while large ones are added.
        self._lock = Lock()
        self._weight = 0
        self._dropped = self._told = 0
        self._most = self._room()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def bytes(self) -> int:
        """The estimated memory of the entries, in bytes."""
        return len(self._entries) * ENTRY_BYTES + self._weight

    @property
    def full(self) -> bool:
        """Whether there is no room for another entry."""
        return len(self._entries) >= self._most

    @property
    def dropped(self) -> int:
        """The total number of dropped entries."""
        return self._dropped

    def append(self, entry: Entry) -> None:
        """Add the entry of a light call."""
        entries = self._entries
        entries.append(entry)
        if len(entries) > self._most:
            self._make_room()

    def extend(self, entries: Sequence[Entry], size: int) -> None:
        """Add the entries of one call, which share one `CallDetails`.

        `size` is the size of the call's message in bytes, without the token.
        """
        if size > LIGHT * len(entries) and entries:
            entries = self._lighten(entries)
            with self._lock:
                self._weight += len(entries) * entries[0].details.weight
                self._most = self._room()
        self._entries.extend(entries)
        if len(self._entries) > self._most:
            self._make_room()

    def take(self, number: int) -> tuple[int, list[Entry]]:
        """Return how many entries are missing here, and at most `number` that follow them."""
        with self._lock:
            missing, self._told = self._dropped - self._told, self._dropped
            pop = self._entries.popleft
            taken = [pop() for _ in range(min(number, len(self._entries)))]
            if self._weight:
                self._weight -= sum(entry.details.weight for entry in taken)
            self._most = self._room()
        return missing, taken

    def _make_room(self) -> None:
        with self._lock:
            while len(self._entries) > self._most:
                self._pop()
                self._dropped += 1
                self._most = self._room()

    def _pop(self) -> Entry:
        entry = self._entries.popleft()
        self._weight -= entry.details.weight
        return entry

    def _room(self) -> int:
        """Return how many entries there may be, given the weight of the present ones."""
        light = (self._capacity_bytes - self._weight) // ENTRY_BYTES
        return max(1, min(self._capacity, light))
