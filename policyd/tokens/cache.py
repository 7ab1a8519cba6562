"""The verified-token cache: what bytes and keys prove, remembered.

An entry says that these exact bytes were verified under this very `KeySet` of this issuer. What
changes without the bytes changing (clock, API asked about, freshness of the keys) is no part of
it and is checked again at every use, by the validator. Only accepted tokens are remembered. The
cache is bounded in entries and in bytes; the oldest entry leaves first.
"""

from __future__ import annotations

from threading import Lock
from typing import Final

import msgspec
from cachetools import FIFOCache

from policyd.tokens.audiences import Audience
from policyd.tokens.keys import KeySet
from policyd.tokens.model import VerifiedToken
from policyd.tokens.pipeline import Issuer
from policyd.tokens.times import Times

# An entry is mostly the claims as Python objects; measured with tokens of 500 to 8,000 bytes.
_BYTES_PER_ENTRY: Final = 3000
_BYTES_PER_TOKEN_BYTE: Final = 2


class Entry(msgspec.Struct, frozen=True, eq=False):
    """An accepted token, and what it was accepted under. `size` is an estimate in bytes."""

    token: VerifiedToken
    issuer: Issuer
    key_set: KeySet
    times: Times
    audience: Audience
    size: int


def estimated_size(token_length: int) -> int:
    """Return about how many bytes an entry takes for a token of so many."""
    return _BYTES_PER_ENTRY + _BYTES_PER_TOKEN_BYTE * token_length


class TokenCache:
    """Entries by the SHA-256 of the token.

    Reads take no lock: a FIFO cache does not move what is read, and one dictionary look-up is
    atomic. Writes take turns.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_bytes = max_bytes if max_entries else 0
        self._entries = _Entries(max(max_entries, 1))
        self._write = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """The estimated bytes held."""
        return self._entries.bytes

    def get(self, digest: bytes) -> Entry | None:
        """Return the entry under `digest`, if any."""
        # Not `.get`, which looks twice and fails when the entry leaves in between.
        return self._entries[digest]

    def put(self, digest: bytes, entry: Entry) -> None:
        """Remember `entry`, unless it alone would be too large."""
        if entry.size > self._max_bytes:
            return
        entries = self._entries
        with self._write:
            if digest in entries:
                del entries[digest]
            entries[digest] = entry
            entries.bytes += entry.size
            while entries.bytes > self._max_bytes:
                entries.popitem()


class _Entries(FIFOCache[bytes, Entry | None]):
    """Counts bytes beside entries. (A `getsizeof` would do so, at twice the cost of a write.)"""

    def __init__(self, max_entries: int) -> None:
        super().__init__(max_entries)
        self.bytes = 0

    def __missing__(self, digest: bytes) -> None:
        """Answer a miss without the cost of an exception."""

    def __delitem__(self, digest: bytes) -> None:
        entry = self[digest]
        super().__delitem__(digest)
        if entry is not None:
            self.bytes -= entry.size
