"""The verified-token cache: what bytes and keys prove, remembered.

An entry says that these exact bytes were verified under this very `KeySet` of this issuer. What
changes without the bytes changing (clock, API asked about, freshness of the keys) is no part of
it and is checked again at every use, by the validator. Only accepted tokens are remembered. The
cache is bounded in entries and in bytes; the oldest entry leaves first.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Lock
from typing import Final

import msgspec
from cachetools import FIFOCache

from policyd.tokens.claims.audiences import Audience
from policyd.tokens.claims.times import Times, surely_valid
from policyd.tokens.keys.key_set import KeySet
from policyd.tokens.model import ResourceServer, VerifiedToken
from policyd.tokens.steps import Candidate
from policyd.tokens.trust import Issuer

# Measured with tracemalloc, a thousand distinct tokens and more of each kind: ordinary ones of 730
# to 970 bytes take 1.7 to 3.4 kB; long lists of texts or numbers 3 to 5 bytes for each byte of the
# token; long lists of small objects 12, of empty ones 17. Ordinary tokens thus take half of what is
# counted or some more, lists of objects three times as much, and no realistic token takes more.
_BYTES_PER_ENTRY: Final = 1000
_BYTES_PER_TOKEN_BYTE: Final = 4


class CachedToken(msgspec.Struct, frozen=True, eq=False, gc=False):
    """An accepted token, and what it was accepted under. `size` is an estimate in bytes.

    `api` is the API that it was accepted for. From `starts` on and before `ends` its times are in
    order (`times.surely_valid`). Nothing that it holds leads back to it, so the garbage collector
    need not look at it.
    """

    token: VerifiedToken
    issuer: Issuer
    key_set: KeySet
    api: ResourceServer
    times: Times
    starts: float
    ends: float
    audience: Audience
    size: int


def cached_token(candidate: Candidate) -> CachedToken:
    """Return what to remember of a candidate that went through all steps."""
    times, issuer = candidate.times, candidate.issuer
    starts, ends = surely_valid(times, issuer.settings)
    return CachedToken(
        candidate.token,
        issuer,
        candidate.snapshot.key_set,
        candidate.api,
        times,
        starts,
        ends,
        candidate.audience,
        estimated_size(len(candidate.text)),
    )


def estimated_size(token_length: int) -> int:
    """Return about how many bytes an entry takes for a token of so many."""
    return _BYTES_PER_ENTRY + _BYTES_PER_TOKEN_BYTE * token_length


class TokenCache:
    """Entries by the SHA-256 of the token.

    Reads take no lock: a FIFO cache does not move what is read, and one dictionary look-up is
    atomic. Writes take turns.
    """

    def __init__(self, max_entries: int, max_bytes: int) -> None:
        self._max_entries = max_entries
        self._max_bytes = max_bytes if max_entries else 0
        self._entries = _Entries(self._max_bytes, _size)
        self._write = Lock()
        #: Returns the entry under a digest, if any. Bound here, it costs a check no call of its
        #: own; and it is not `.get`, which looks twice.
        self.get: Callable[[bytes], CachedToken | None] = self._entries.__getitem__

    def __len__(self) -> int:
        return len(self._entries)

    @property
    def size(self) -> int:
        """The estimated bytes held."""
        return int(self._entries.currsize)

    @property
    def evictions(self) -> int:
        """How many entries had to leave for others so far."""
        return self._entries.evictions

    def put(self, digest: bytes, entry: CachedToken) -> None:
        """Remember `entry`, unless it alone would be too large."""
        entries = self._entries
        if entry.size > self._max_bytes:
            return
        with self._write:
            entries[digest] = entry
            if len(entries) > self._max_entries:
                entries.popitem()


class _Entries(FIFOCache[bytes, CachedToken | None]):
    evictions = 0

    def popitem(self) -> tuple[bytes, CachedToken | None]:
        """Let the oldest entry leave; cachetools calls this too, where bytes run short."""
        self.evictions += 1
        return super().popitem()

    def __missing__(self, digest: bytes) -> None:
        """Answer a miss with `None`: most are looked for once."""


def _size(entry: CachedToken | None) -> int:
    return entry.size if entry is not None else 0
