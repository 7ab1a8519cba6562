"""Tokens whose issuer must be asked first, and a cache of the answers.

The check itself never waits. Where the answer of an issuer is needed and not remembered, it raises
`TokenPending`; a caller that can wait calls `fetch` and checks again. `AnswerCache` keeps answers.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable
from threading import Lock
from typing import Final, Generic, TypeVar

import msgspec
from cachetools import FIFOCache

from policyd.errors import PolicydError

MOST_ANSWERS: Final = 10_000
MOST_BYTES: Final = 16 * 1024 * 1024
#: What an answer takes besides its text, by estimate; JSON takes several times its text.
_BYTES_PER_ANSWER: Final = 500
_BYTES_PER_BYTE: Final = 4


class TokenPending(PolicydError):
    """What decides about a token is not in memory. No verdict: check again after `fetch`.

    `key` is the same for the same question. `fetch` asks, which may take seconds, remembers what
    comes of it, failures too, and raises nothing; that one question is not asked twice at a time is
    for its callers to see to. `give_up` remembers that there was no time to ask.
    """

    def __init__(
        self, key: Hashable, fetch: Callable[[], None], give_up: Callable[[], None]
    ) -> None:
        super().__init__("an issuer has to be asked about the token")
        self.key = key
        self.fetch = fetch
        self.give_up = give_up


AnswerT = TypeVar("AnswerT")


class IssuerAnswer(msgspec.Struct, Generic[AnswerT], frozen=True, eq=False):
    """What was answered, and until when it counts, in seconds since the epoch."""

    value: AnswerT
    until: float
    size: int


class AnswerCache(Generic[AnswerT]):
    """Answers about tokens, by the SHA-256 of the token, each for a while.

    Bounded in entries and in bytes, by estimate; the oldest leaves first. Reads take no lock.
    """

    def __init__(self, max_entries: int = MOST_ANSWERS, max_bytes: int = MOST_BYTES) -> None:
        self._max_entries = max_entries
        self._entries: _Entries[AnswerT] = _Entries(max_bytes, _size)
        self._write = Lock()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, digest: bytes, now: float) -> IssuerAnswer[AnswerT] | None:
        """Return the answer about a token, if there is one that still counts."""
        # Not `.get`, which looks twice: what is there the first time may be gone the second.
        answer: IssuerAnswer[AnswerT] | None = self._entries[digest]
        return answer if answer is not None and now < answer.until else None

    def put(self, digest: bytes, value: AnswerT, until: float, length: int) -> None:
        """Remember an answer, whose text has `length` bytes."""
        size = _BYTES_PER_ANSWER + _BYTES_PER_BYTE * length
        with self._write:
            self._entries[digest] = IssuerAnswer(value, until, size)
            if len(self._entries) > self._max_entries:
                self._entries.popitem()

    def forget(self, digest: bytes) -> None:
        """Forget the answer about a token, if there is one."""
        with self._write:
            self._entries.pop(digest, None)


class _Entries(FIFOCache[bytes, IssuerAnswer[AnswerT] | None]):
    def __missing__(self, digest: bytes) -> None:
        """Answer a miss with `None`."""


def _size(answer: IssuerAnswer[AnswerT] | None) -> int:
    return answer.size if answer is not None else 0
