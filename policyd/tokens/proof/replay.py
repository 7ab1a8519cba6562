"""Which DPoP proofs have been shown: each counts once (RFC 9449, section 11.1).

A proof is remembered for as long as its `iat` could make it count. Proofs that were first shown
within an eighth of that time leave together, so forgetting them is dropping one dictionary and
never a search. What is remembered of a proof is a hash, so its size does not depend on the sender.

Invariants: bounded in all, and for each key, so that one sender cannot use up the room of others.
Where there is no room, the proof is refused: forgetting another one would let that be shown twice.
"""

from __future__ import annotations

from collections import deque
from hashlib import blake2b
from math import ceil
from threading import Lock
from typing import Final

from policyd.tokens.refusals import DpopProofInvalid, DpopProofsExhausted

_GENERATIONS: Final = 8
_DIGEST_BYTES: Final = 16


class _Generation:
    """Proofs first shown before `closes`; until `ends` they may not be shown again.

    `uses` tells by the hash of a proof's name within which request it was shown, `counts` how many
    there are of a key.
    """

    __slots__ = ("closes", "counts", "ends", "uses")

    def __init__(self, closes: float, ends: float) -> None:
        self.closes = closes
        self.ends = ends
        self.uses: dict[bytes, bytes] = {}
        self.counts: dict[str, int] = {}


class ReplayCache:
    """Remembers proofs for `lifetime` seconds at least, `entries` in all and `per_key` of one key.

    Safe to use from several threads.
    """

    def __init__(self, entries: int, per_key: int, lifetime: float) -> None:
        self._entries = entries
        self._per_key = per_key
        self._lifetime = lifetime
        self._generations: deque[_Generation] = deque()
        self._lock = Lock()

    def __len__(self) -> int:
        with self._lock:
            return sum(len(generation.uses) for generation in self._generations)

    def use(self, key: str, proof_id: str, request_id: str, now: float) -> None:
        """Let the proof `proof_id` (`jti`) by `key` (its thumbprint) be shown, once.

        Within one request, if it has a name, again. Raises `DpopProofInvalid` for a proof that was
        shown before, `DpopProofsExhausted` where there is no room to remember it.
        """
        name, request = _hash(f"{key} {proof_id}"), _hash(request_id) if request_id else b""
        gone: list[_Generation] = []  # freed when the lock is
        with self._lock:
            newest = self._advance(now, gone)
            for generation in self._generations:
                shown_in = generation.uses.get(name)
                if shown_in is None:
                    continue
                if request and shown_in == request:
                    return
                raise DpopProofInvalid(
                    "the DPoP proof was shown before: each request needs one of its own, and calls "
                    "about one request the same `request_id`"
                )
            self._check_room(key, now)
            newest.uses[name] = request
            newest.counts[key] = newest.counts.get(key, 0) + 1

    def _advance(self, now: float, gone: list[_Generation]) -> _Generation:
        """Drop the generations that are over, and return the one for what is shown now."""
        generations = self._generations
        while generations and generations[0].ends <= now:
            gone.append(generations.popleft())
        if not generations or generations[-1].closes <= now:
            closes = now + self._lifetime / _GENERATIONS
            generations.append(_Generation(closes, closes + self._lifetime))
        return generations[-1]

    def _check_room(self, key: str, now: float) -> None:
        generations = self._generations
        retry_after = max(1, ceil(generations[0].ends - now))
        if sum(len(generation.uses) for generation in generations) >= self._entries:
            raise DpopProofsExhausted(
                f"{self._entries} DPoP proofs are remembered, which is the limit "
                "(`replay_entries`): until the oldest are over, others are refused",
                retry_after=retry_after,
            )
        if sum(generation.counts.get(key, 0) for generation in generations) >= self._per_key:
            raise DpopProofsExhausted(
                f"{self._per_key} DPoP proofs by this key are remembered, which is the limit for "
                "one (`replay_per_key`)",
                retry_after=retry_after,
            )


def _hash(text: str) -> bytes:
    return blake2b(text.encode(), digest_size=_DIGEST_BYTES).digest()
