"""The entry point: the text of a token in, a `VerifiedToken` out, or a refusal.

A token seen before costs one hash, one look-up, and the checks that time and circumstances can
change; any other goes through `pipeline.PIPELINE`. Either way the verdict is the same. Nothing here
waits for the network or for another thread's I/O.

Whom to believe is one immutable `Trust`, which `Validator.configure` replaces by one assignment: a
token is judged by the old one or the new one, never by half of each. What was remembered counts
only for the very `Issuer` that it was accepted from.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from hashlib import sha256
from threading import Lock
from time import monotonic
from typing import Final

import msgspec

from policyd.errors import PolicydError
from policyd.json_types import Json
from policyd.tokens.cache import CachedToken, TokenCache, cached_token
from policyd.tokens.details import escaped
from policyd.tokens.introspection_pipeline import (
    IntrospectedToken,
    introspecting_issuer,
    verify_introspected,
)
from policyd.tokens.keys.source import KeySnapshot
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.pipeline import PIPELINE, Order, Step, order_of
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.revocation.revocations import NOTHING_REVOKED, Revocations
from policyd.tokens.settings.issuers import check_issuers
from policyd.tokens.steps import Candidate, explain_refusal
from policyd.tokens.trust import Issuer, Trust

DEFAULT_TOKEN_BYTES: Final = 16 * 1024
LONGEST_TOKEN_BYTES: Final = 128 * 1024
DEFAULT_CACHE_ENTRIES: Final = 10_000
DEFAULT_CACHE_BYTES: Final = 16 * 1024 * 1024


class InvalidTokenSettings(PolicydError):
    """A setting for all tokens is invalid."""


class CacheFigures(msgspec.Struct, frozen=True):
    """The cache of verified tokens: its content, and hits and misses so far.

    `bytes` is an estimate. `hits` are tokens that were remembered, `misses` those that went through
    the whole pipeline, accepted or not; `evictions` are entries that had to leave for others.
    """

    entries: int
    bytes: int
    hits: int
    misses: int
    evictions: int


class Validator:
    """Verifies access tokens. Safe to use from several threads at once.

    `issuers` are told apart by name (see `assembly.open_issuers`). `max_token_bytes` bounds
    what is looked at, `cache_entries` and `cache_bytes` (an estimate) what is remembered; 0 entries
    turns remembering off. `constraints` checks proofs of the sender, `revocations` knows what was
    revoked. `steps` are the table of what is verified, in order. Raises `InvalidTokenSettings` and
    `InvalidIssuerSettings`.
    """

    def __init__(
        self,
        issuers: Iterable[Issuer],
        *,
        max_token_bytes: int = DEFAULT_TOKEN_BYTES,
        cache_entries: int = DEFAULT_CACHE_ENTRIES,
        cache_bytes: int = DEFAULT_CACHE_BYTES,
        constraints: SenderConstraints | None = None,
        revocations: Revocations = NOTHING_REVOKED,
        steps: Sequence[Step] = PIPELINE,
    ) -> None:
        if not 0 < max_token_bytes <= LONGEST_TOKEN_BYTES:
            raise InvalidTokenSettings(
                f"`max_token_bytes` must lie from 1 to {LONGEST_TOKEN_BYTES}, "
                f"found {max_token_bytes}"
            )
        if cache_entries < 0 or cache_bytes < 0:
            raise InvalidTokenSettings("`cache_entries` and `cache_bytes` must not be negative")
        issuers = tuple(issuers)
        check_issuers([issuer.settings for issuer in issuers])
        self._trust = Trust(
            issuers={issuer.settings.issuer: issuer for issuer in issuers},
            max_token_bytes=max_token_bytes,
            constraints=SenderConstraints() if constraints is None else constraints,
            revocations=revocations,
        )
        # Of what the trust holds, only the issuers are ever replaced.
        self._order = order_of(steps, self._trust)
        self._cache = TokenCache(cache_entries, cache_bytes)
        # Counted without a lock: two threads that count at once may lose one. Nothing is decided by
        # these figures, and the event transport verifies in one thread.
        self._hits = self._misses = 0
        # Guards what follows, and takes changes of the issuers in turn; no request takes it.
        self._change = Lock()
        self._running = False

    def verify(
        self,
        access_token: str,
        resource_server: ResourceServer,
        now: float,
        proof: SenderProof = NO_PROOF,
    ) -> VerifiedToken:
        """Verify a token for one API. `now` is seconds since the epoch.

        Raises a subclass of `TokenRefused`, and `TokenPending` where an issuer must be asked first.
        """
        trust = self._trust
        if len(access_token) > trust.max_token_bytes:
            return self._verify_anew(Candidate(access_token, resource_server, now, trust), b"")
        digest = sha256(access_token.encode("utf-8", "surrogatepass")).digest()
        entry = self._cache.get(digest)
        if entry is not None and trust.issuers.get(entry.token.issuer) is entry.issuer:
            snapshot = entry.issuer.keys.snapshot
            if snapshot is not None and snapshot.key_set is entry.key_set:
                self._hits += 1
                return _verify_again(
                    entry, snapshot, self._order, access_token, resource_server, now, trust, proof
                )
        return self._verify_anew(
            Candidate(access_token, resource_server, now, trust, proof), digest
        )

    def trusted_until(self, token: VerifiedToken) -> float:
        """Return until when keys and settings vouch for a token that was verified here.

        In seconds since the epoch: when its issuer's keys grow too old (`max_stale`), unless they
        are renewed, or what the issuer said of it does; or when it does itself (`max_token_age`),
        whichever is first. Its `exp` stands aside.
        """
        issuer = self._trust.issuers.get(token.issuer)
        if issuer is None:
            return 0.0  # it was taken out since
        snapshot, longest = issuer.keys.snapshot, issuer.settings.max_token_age
        if isinstance(token, IntrospectedToken):
            until = token.known_until
        else:
            until = 0.0 if snapshot is None else snapshot.usable_until
        if longest is None:
            return until
        return min(until, longest + (0 if token.issued_at is None else token.issued_at))

    def candidate(
        self, access_token: str, resource_server: ResourceServer, now: float
    ) -> Candidate:
        """Return a token ready for the first step of the pipeline."""
        return Candidate(access_token, resource_server, now, self._trust)

    def _verify_anew(self, candidate: Candidate, digest: bytes) -> VerifiedToken:
        try:
            asked = introspecting_issuer(candidate)
            if asked is not None:
                return verify_introspected(candidate, asked, digest, self._order.opaque)
            self._misses += 1
            for step in self._order.anew:
                step(candidate)
        except TokenRefused as refusal:
            explain_refusal(refusal, candidate)
            raise
        self._cache.put(digest, cached_token(candidate))
        return candidate.token

    def userinfo(
        self, token: VerifiedToken, access_token: str, now: float
    ) -> Mapping[str, Json] | None:
        """Return what the issuer tells of the subject of a token that was verified here.

        `None`: nothing is known. Raises `TokenPending` where the issuer must be asked first.
        """
        issuer = self._trust.issuers.get(token.issuer)
        if issuer is None or issuer.userinfo is None:
            return None
        return issuer.userinfo.look_up(token, access_token, now)

    def figures(self) -> CacheFigures:
        """Return how the cache is doing."""
        cache = self._cache
        return CacheFigures(len(cache), cache.size, self._hits, self._misses, cache.evictions)

    @property
    def issuers(self) -> tuple[Issuer, ...]:
        """Whom it believes now."""
        return tuple(self._trust.issuers.values())

    def configure(self, issuers: Iterable[Issuer]) -> None:
        """Believe these issuers from now on, and no others.

        An `Issuer` that was there before goes on with its keys and what was remembered of it. The
        keys of others are started where `start` was called; those of issuers that go are stopped.
        Raises `InvalidIssuerSettings`, and then nothing has changed.
        """
        issuers = tuple(issuers)
        check_issuers([issuer.settings for issuer in issuers])
        with self._change:
            before = self._trust.issuers.values()
            if self._running:
                for issuer in issuers:
                    issuer.keys.start()  # does nothing where it was done
            self._trust = msgspec.structs.replace(
                self._trust, issuers={issuer.settings.issuer: issuer for issuer in issuers}
            )
            kept = {id(issuer.keys) for issuer in issuers}
            for issuer in before:
                if id(issuer.keys) not in kept:
                    issuer.keys.stop()

    def start(self) -> None:
        """Begin to keep the issuers' keys fresh."""
        with self._change:
            self._running = True
            for issuer in self.issuers:
                issuer.keys.start()

    def fetch_keys(self) -> None:
        """Have the keys of every issuer read at once, in the background."""
        for issuer in self.issuers:
            issuer.keys.fetch_anew()

    def wait_for_keys(self, seconds: float) -> bool:
        """Wait until every issuer has keys; tell whether all have. For start-up only."""
        return wait_for_keys(self.issuers, seconds)

    def stop(self) -> None:
        """Stop the background work."""
        with self._change:
            self._running = False
            for issuer in self.issuers:
                issuer.keys.stop()


def wait_for_keys(issuers: Iterable[Issuer], seconds: float) -> bool:
    """Wait until all of `issuers` have keys, `seconds` in all; tell whether they have.

    They fetch side by side: the time that one takes is time that the next has had as well, and an
    issuer that never comes leaves the others a look at the end.
    """
    deadline = monotonic() + seconds
    ready = [issuer.keys.wait(max(0.0, deadline - monotonic())) for issuer in issuers]
    return all(ready)


def _verify_again(
    entry: CachedToken,
    snapshot: KeySnapshot,
    order: Order,
    access_token: str,
    resource_server: ResourceServer,
    now: float,
    trust: Trust,
    proof: SenderProof,
) -> VerifiedToken:
    """Check what may have changed since the token was verified, in the order of the pipeline.

    What is compared would nearly always pass, as one glance tells: the times are in order, the keys
    are fresh, and the API is the one for which this token was accepted from this very issuer. Only
    where it cannot tell are those steps run.
    """
    token = entry.token
    candidate: Candidate | None = None
    try:
        if not (
            entry.starts <= now < entry.ends
            and now < snapshot.usable_until
            and resource_server == entry.api
        ):
            candidate = Candidate(access_token, resource_server, now, trust, proof)
            candidate.issuer, candidate.snapshot = entry.issuer, snapshot
            candidate.times, candidate.audience = entry.times, entry.audience
            for compare in order.compared:
                compare(candidate)
        for check in order.at_each_use:
            check(token, access_token, proof, now)
    except TokenRefused as refusal:
        proven = candidate is None or candidate.is_access_token
        refusal.token = token if proven else None
        refusal.unverified_issuer = escaped(token.issuer)
        refusal.unverified_key_id = None if token.key_id is None else escaped(token.key_id)
        raise
    return token
