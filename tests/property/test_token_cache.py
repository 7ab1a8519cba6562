"""What is remembered is judged as what is new: at every time, under every change of keys."""

from __future__ import annotations

from hypothesis import given, settings
from hypothesis import strategies as st

from policyd.tokens.model import ResourceServer
from policyd.tokens.refresher import RefreshedKeys
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.validator import Validator
from tests.support import tokens
from tests.support.tokens import (
    AUDIENCE,
    BILLING,
    HEALTH,
    NOW,
    Clock,
    FakeFetch,
    accepted_claims,
    issuer,
    key,
)

KEYS = (key(), key(name="second"), key(name="third"))
TOKENS = (
    tokens.token(),
    tokens.token(by=KEYS[1]),
    tokens.token(accepted_claims(exp=NOW + 60, nbf=NOW + 40)),
    tokens.token(accepted_claims(aud=[AUDIENCE, *BILLING.audiences]), by=KEYS[2]),
    tokens.token(accepted_claims(cnf={"jkt": "x"})),
    tokens.token(accepted_claims(at_hash="x")),
    tokens.raw_token(header=b'{"alg":"RS256"}'),
)
APIS = (HEALTH, BILLING, ResourceServer("third", frozenset((AUDIENCE,))))

operations = st.lists(
    st.one_of(
        st.tuples(st.just("ask"), st.integers(0, len(TOKENS) - 1), st.integers(0, 2)),
        st.tuples(st.just("tick"), st.integers(-120, 1200), st.just(0)),
        st.tuples(st.just("keys"), st.integers(0, 7), st.just(0)),
        st.tuples(st.just("refresh"), st.just(0), st.just(0)),
    ),
    min_size=1,
    max_size=30,
)


def verdict(of: Validator, text: str, api: ResourceServer, now: float) -> tuple[object, ...]:
    try:
        token = of.verify(text, api, now)
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
    return ("accepted", token.claims, token.scopes, token.expires_at)


@given(operations, st.sampled_from((None, 300)), st.booleans(), st.integers(1, 3))
@settings(max_examples=60)
def test_a_cached_verdict_equals_a_fresh_one(
    steps: list[tuple[str, int, int]], max_age: int | None, single: bool, entries: int
) -> None:
    clock, fetch = Clock(), FakeFetch(*KEYS)
    changes: dict[str, object] = {
        "max_token_age": max_age,
        "single_audience": single,
        "max_stale": 200,
        "apis": frozenset(("health", "billing")),
    }
    source = RefreshedKeys(tokens.settings(**changes), fetch, clock, lambda _: None)
    source.refresh()
    remembering = Validator([issuer(source, **changes)], cache_entries=entries)
    forgetting = Validator([issuer(source, **changes)], cache_entries=0)

    for name, first, second in steps:
        if name == "tick":
            clock.move(first)
        elif name == "keys":
            served = [one for place, one in enumerate(KEYS) if first & 1 << place]
            if served:
                fetch.serve(*served)
            else:
                fetch.fail()
        elif name == "refresh":
            source.refresh()
        else:
            text, api = TOKENS[first], APIS[second]
            fresh = verdict(forgetting, text, api, clock.now)
            assert verdict(remembering, text, api, clock.now) == fresh
            assert verdict(remembering, text, api, clock.now) == fresh
