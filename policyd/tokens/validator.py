"""The entry point: the text of a token in, a `VerifiedToken` out, or a refusal.

A token seen before costs one hash, one look-up, and the checks that time and circumstances can
change; any other goes through `pipeline.PIPELINE`. Either way the verdict is the same. Nothing here
waits for the network or for another thread's I/O.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import sha256
from time import monotonic
from typing import Final

from policyd.errors import PolicydError
from policyd.tokens.audiences import check_audience
from policyd.tokens.cache import Entry, TokenCache, estimated_size
from policyd.tokens.issuers import check_issuers
from policyd.tokens.key_source import Snapshot
from policyd.tokens.model import ResourceServer, VerifiedToken
from policyd.tokens.pipeline import (
    PIPELINE,
    Candidate,
    Issuer,
    check_fresh,
    check_issuer_speaks,
    explain_refusal,
)
from policyd.tokens.refusals import TokenRefused, shown
from policyd.tokens.times import check_times

DEFAULT_TOKEN_BYTES: Final = 16 * 1024
LONGEST_TOKEN_BYTES: Final = 128 * 1024
DEFAULT_CACHE_ENTRIES: Final = 10_000
DEFAULT_CACHE_BYTES: Final = 16 * 1024 * 1024
_STEPS: Final = tuple(step.run for step in PIPELINE)


class InvalidTokenSettings(PolicydError):
    """A setting that concerns all tokens makes no sense."""


class Validator:
    """Verifies access tokens. Safe to use from several threads at once.

    `issuers` are told apart by name (see `key_sources.open_issuers`). `max_token_bytes` bounds what
    is looked at, `cache_entries` and `cache_bytes` (an estimate) what is remembered; 0 entries
    turns remembering off. Raises `InvalidTokenSettings` and `InvalidIssuerSettings`.
    """

    def __init__(
        self,
        issuers: Iterable[Issuer],
        *,
        max_token_bytes: int = DEFAULT_TOKEN_BYTES,
        cache_entries: int = DEFAULT_CACHE_ENTRIES,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
    ) -> None:
        if not 0 < max_token_bytes <= LONGEST_TOKEN_BYTES:
            raise InvalidTokenSettings(
                f"`max_token_bytes` must lie from 1 to {LONGEST_TOKEN_BYTES}, "
                f"found {max_token_bytes}"
            )
        if cache_entries < 0 or cache_bytes < 0:
            raise InvalidTokenSettings("`cache_entries` and `cache_bytes` must not be negative")
        self.issuers = tuple(issuers)
        check_issuers([issuer.settings for issuer in self.issuers])
        self._by_name = {issuer.settings.issuer: issuer for issuer in self.issuers}
        self._max_token_bytes = max_token_bytes
        self._cache = TokenCache(cache_entries, cache_bytes)

    def verify(
        self, access_token: str, resource_server: ResourceServer, now: float
    ) -> VerifiedToken:
        """Verify a token for one API. `now` is seconds since the epoch.

        Raises a subclass of `TokenRefused`.
        """
        if len(access_token) > self._max_token_bytes:
            return self._verify_anew(access_token, resource_server, now, b"")
        digest = sha256(access_token.encode("utf-8", "surrogatepass")).digest()
        entry = self._cache.get(digest)
        if entry is not None:
            snapshot = entry.issuer.keys.snapshot
            if snapshot is not None and snapshot.key_set is entry.key_set:
                return _verify_again(entry, snapshot, resource_server, now)
        return self._verify_anew(access_token, resource_server, now, digest)

    def trusted_until(self, token: VerifiedToken) -> float:
        """Return until when keys and settings vouch for a token that was verified here.

        In seconds since the epoch: when its issuer's keys grow too old (`max_stale`), unless they
        are renewed, or when it does (`max_token_age`), whichever is first. Its `exp` stands aside.
        """
        issuer = self._by_name[token.issuer]
        snapshot, longest = issuer.keys.snapshot, issuer.settings.max_token_age
        until = 0.0 if snapshot is None else snapshot.usable_until
        if longest is None:
            return until
        return min(until, longest + (0 if token.issued_at is None else token.issued_at))

    def candidate(
        self, access_token: str, resource_server: ResourceServer, now: float
    ) -> Candidate:
        """Return a token ready for the first step of the pipeline."""
        return Candidate(access_token, resource_server, now, self._by_name, self._max_token_bytes)

    def _verify_anew(
        self, access_token: str, resource_server: ResourceServer, now: float, digest: bytes
    ) -> VerifiedToken:
        candidate = self.candidate(access_token, resource_server, now)
        try:
            for step in _STEPS:
                step(candidate)
        except TokenRefused as refusal:
            explain_refusal(refusal, candidate)
            raise
        token = candidate.token
        self._cache.put(
            digest,
            Entry(
                token,
                candidate.issuer,
                candidate.key_set,
                candidate.times,
                candidate.audience,
                estimated_size(len(access_token)),
            ),
        )
        return token

    def start(self) -> None:
        """Begin to keep the issuers' keys fresh."""
        for issuer in self.issuers:
            issuer.keys.start()

    def wait_for_keys(self, seconds: float) -> bool:
        """Wait until every issuer has keys; tell whether all have. For start-up only."""
        deadline = monotonic() + seconds
        ready = [issuer.keys.wait(max(0.0, deadline - monotonic())) for issuer in self.issuers]
        return all(ready)

    def stop(self) -> None:
        """Stop the background work."""
        for issuer in self.issuers:
            issuer.keys.stop()


def _verify_again(
    entry: Entry, snapshot: Snapshot, resource_server: ResourceServer, now: float
) -> VerifiedToken:
    """Check what may have changed since: in the pipeline's order, with the pipeline's functions."""
    token, issuer = entry.token, entry.issuer
    proven: VerifiedToken | None = None
    try:
        check_issuer_speaks(issuer, resource_server)
        check_fresh(issuer, snapshot, now)
        proven = token
        check_times(entry.times, issuer.settings, now)
        check_audience(entry.audience, issuer.settings, resource_server)
    except TokenRefused as refusal:
        refusal.token = proven
        refusal.unverified_issuer = shown(token.issuer)
        refusal.unverified_key_id = None if token.key_id is None else shown(token.key_id)
        raise
    return token
