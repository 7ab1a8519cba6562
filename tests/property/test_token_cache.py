"""What is remembered is judged as what is new, whatever changes in between.

A machine of hypothesis moves the clock, publishes and withdraws keys, configures issuers anew,
revokes, and asks about tokens for several APIs with several proofs. Two validators answer: one that
remembers and one that does not, over the same trust.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Final

from hypothesis import given
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule, run_state_machine_as_test

from policyd.json_types import Json
from policyd.tokens.claims.times import LATEST, Times, check_times, surely_valid
from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.model import NO_PROOF, ResourceServer, SenderProof, VerifiedToken
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.refusals import TokenBindingInvalid, TokenRefused, TokenRevoked
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import Validator
from tests.support import tokens
from tests.support.tokens import (
    AUDIENCE,
    BILLING,
    HEALTH,
    ISSUER,
    NOW,
    Clock,
    FakeFetch,
    accepted_claims,
    key,
)

OTHER: Final = "https://other.example/"
KEYS: Final = (key(), key(name="second"), key(name="third"), key("ES256"))
BOTH: Final[list[Json]] = [AUDIENCE, *BILLING.audiences]
TOKENS: Final = (
    tokens.token(),
    tokens.token(accepted_claims(jti="a"), by=KEYS[1]),
    tokens.token(accepted_claims(exp=NOW + 60, nbf=NOW + 40)),
    tokens.token(accepted_claims(aud=BOTH, sub="b"), by=KEYS[2]),
    tokens.token(accepted_claims(cnf={"jkt": "x"})),
    tokens.token(accepted_claims(cnf={"jkt": "y"}, jti="c", aud=BOTH)),
    tokens.token(accepted_claims(iss=OTHER, aud=BOTH)),
    tokens.token(accepted_claims(iss=OTHER, sub="b", iat=NOW - 250), by=KEYS[1]),
    tokens.token(accepted_claims(jti="a"), by=KEYS[3]),
    tokens.token(accepted_claims(at_hash="x")),
    tokens.raw_token(header=b'{"alg":"RS256"}'),
)
# The last but one is another object that says the same, as after a reload; the last says something
# else under the same name.
APIS: Final = (
    HEALTH,
    BILLING,
    ResourceServer("third", frozenset((AUDIENCE,))),
    ResourceServer(HEALTH.name, frozenset(HEALTH.audiences)),
    ResourceServer(HEALTH.name, BILLING.audiences),
)
PROOFS: Final = (NO_PROOF, SenderProof(request_id="x"), SenderProof(request_id="y"))
# What an issuer's settings may become; by place, so that one may come back as it was.
SETTINGS: Final[tuple[Mapping[str, object], ...]] = (
    {},
    {"max_token_age": 300},
    {"single_audience": True},
    {"leeway": 0},
    {"max_stale": 0},
    {"algorithms": ("RS256", "ES256")},
    {"apis": frozenset(("billing",))},
)


class NamedProofs(SenderConstraints):
    """Takes the id of a request for the proof of `cnf.jkt`."""

    def check(
        self, token: VerifiedToken, access_token: str, proof: SenderProof, now: float
    ) -> None:
        wanted = token.claims.get("cnf")
        if wanted is not None and wanted != {"jkt": proof.request_id}:
            raise TokenBindingInvalid(f"no proof of {wanted}")


class NamedRevocations:
    """Holds `jti`s, and subjects whose tokens are revoked when issued before a time."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.subjects: dict[str, float] = {}

    def check(self, token: VerifiedToken, now: float) -> None:
        if token.token_id in self.ids:
            raise TokenRevoked(f"the token {token.token_id} was revoked")
        if (token.issued_at or 0) < self.subjects.get(token.subject or "", 0):
            raise TokenRevoked(f"all of {token.subject} were revoked")


def verdict(
    of: Validator, text: str, api: ResourceServer, now: float, proof: SenderProof = NO_PROOF
) -> tuple[object, ...]:
    """Return all that a caller or a log can see of the answer."""
    try:
        token = of.verify(text, api, now, proof)
    except TokenRefused as refusal:
        proven = None if refusal.token is None else refusal.token.claims
        return (
            refusal.reason,
            str(refusal),
            proven,
            refusal.retry_after,
            refusal.unverified_issuer,
            refusal.unverified_key_id,
        )
    return ("accepted", token.claims, token.scopes, token.expires_at, of.trusted_until(token))


# Mostly as it was at first: a machine in which nothing is accepted shows little.
places = st.just(0) | st.sampled_from((*range(len(SETTINGS)), None))
seconds = st.integers(-5, 60) | st.integers(-120, 1200)


class CachedVerdicts(RuleBasedStateMachine):
    """Everything that can come between two uses of a token."""

    hits = 0
    revoked = 0

    @initialize(entries=st.sampled_from((1, 4, 20)))
    def begin(self, entries: int) -> None:
        self.clock, self.fetch = Clock(), FakeFetch(*KEYS)
        self.opened: dict[tuple[str, int], Issuer] = {}
        self.revocations = NamedRevocations()
        issuers = [self.open(ISSUER, 0), self.open(OTHER, 0)]
        self.remembering, self.forgetting = (
            Validator(
                issuers,
                cache_entries=size,
                constraints=NamedProofs(),
                revocations=self.revocations,
            )
            for size in (entries, 0)
        )

    def open(self, name: str, place: int) -> Issuer:
        """Return an issuer, the same one for the same settings, as a daemon that reloads does."""
        if (name, place) not in self.opened:
            changes: dict[str, object] = {
                "issuer": name,
                "max_stale": 200,
                "apis": frozenset(("health", "billing")),
                **SETTINGS[place],
            }
            source = RefreshedKeys(
                tokens.settings(**changes), self.fetch, self.clock, lambda _: None
            )
            source.refresh()
            self.opened[name, place] = tokens.issuer(source, **changes)
        return self.opened[name, place]

    @rule(api=st.just(HEALTH) | st.sampled_from(APIS), proof=st.sampled_from(PROOFS))
    def ask(self, api: ResourceServer, proof: SenderProof) -> None:
        now, hits = self.clock.now, self.remembering.figures().hits
        for text in TOKENS:
            fresh = verdict(self.forgetting, text, api, now, proof)
            assert verdict(self.remembering, text, api, now, proof) == fresh
            assert verdict(self.remembering, text, api, now, proof) == fresh
            CachedVerdicts.revoked += fresh[0] == "TOKEN_REVOKED"
        CachedVerdicts.hits += self.remembering.figures().hits - hits

    @rule(text=st.sampled_from(TOKENS), proof=st.sampled_from(PROOFS))
    def ask_at_each_second(self, text: str, proof: SenderProof) -> None:
        """Every tick about the times that the tokens bear."""
        for second in (-31, -30, -1, 0, 10, 29, 30, 31, 50, 240, 299, 300, 301, 929, 930, 931):
            self.ask_about(text, proof, NOW + second)
            self.ask_about(text, proof, math.nextafter(NOW + second, -math.inf))
            self.ask_about(text, proof, math.nextafter(NOW + second, math.inf))

    def ask_about(self, text: str, proof: SenderProof, now: float) -> None:
        for api in (HEALTH, BILLING):
            fresh = verdict(self.forgetting, text, api, now, proof)
            assert verdict(self.remembering, text, api, now, proof) == fresh

    @rule(seconds=seconds)
    def tick(self, seconds: int) -> None:
        self.clock.move(seconds)

    @rule(served=st.sets(st.sampled_from(range(len(KEYS)))))
    def publish(self, served: set[int]) -> None:
        if served:
            self.fetch.serve(*(KEYS[place] for place in sorted(served)))
        else:
            self.fetch.fail()

    @rule()
    def refresh(self) -> None:
        for issuer in self.remembering.issuers:
            assert isinstance(issuer.keys, RefreshedKeys)
            issuer.keys.refresh()

    @rule(first=places, second=places)
    def configure(self, first: int | None, second: int | None) -> None:
        wanted = ((ISSUER, first), (OTHER, second))
        issuers = [self.open(name, place) for name, place in wanted if place is not None]
        self.remembering.configure(issuers)
        self.forgetting.configure(issuers)

    @rule(token_id=st.sampled_from("ac"))
    def revoke_a_token(self, token_id: str) -> None:
        self.revocations.ids.add(token_id)

    @rule(subject=st.sampled_from(("auth0|123456", "b")), before=st.sampled_from((-100, 0)))
    def revoke_a_subject(self, subject: str, before: int) -> None:
        self.revocations.subjects[subject] = NOW + before

    @rule()
    def forget_revocations(self) -> None:
        self.revocations.ids.clear()
        self.revocations.subjects.clear()


def test_a_cached_verdict_equals_a_fresh_one() -> None:
    CachedVerdicts.hits = CachedVerdicts.revoked = 0

    run_state_machine_as_test(
        CachedVerdicts,
        settings=hypothesis_settings(hypothesis_settings(), stateful_step_count=40),
    )

    print(f"{CachedVerdicts.hits} verdicts from the cache, {CachedVerdicts.revoked} revoked")
    assert CachedVerdicts.hits > 100
    assert CachedVerdicts.revoked > 0


whole = st.integers(0, 40) | st.integers(0, LATEST)


@given(
    st.builds(Times, st.none() | whole, st.none() | whole, whole),
    st.integers(0, 60),
    st.none() | st.integers(1, 60) | st.integers(1, LATEST),
    st.floats(allow_nan=True) | whole.map(float),
)
def test_within_its_span_the_times_of_a_token_pass(
    times: Times, leeway: int, max_age: int | None, elsewhen: float
) -> None:
    of = tokens.settings(leeway=leeway, max_token_age=max_age)
    start, end = surely_valid(times, of)

    for moment in (start, end, (start + end) / 2, elsewhen):
        for now in (moment, math.nextafter(moment, -math.inf), math.nextafter(moment, math.inf)):
            if start <= now < end:
                check_times(times, of, now)
