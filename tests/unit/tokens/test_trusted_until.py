"""Until when keys and settings vouch for a token, and that an answer is kept no longer."""

from __future__ import annotations

import math

import msgspec

from policyd.decision.engine import Engine
from policyd.decision.model import Request
from policyd.diagnostics import Source
from policyd.language import load
from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.validator import Validator
from tests.support.tokens import (
    AUDIENCE,
    HEALTH,
    ISSUER,
    NOW,
    Clock,
    FakeFetch,
    accepted_claims,
    issuer,
    key,
    settings,
    token,
    validator,
    verify,
)

OTHER = "https://other.example/"
POLICY = f"""
api health
audience "{AUDIENCE}"
resource patient {{
    actions read
}}
allow reads: read on patient
    when true
"""


def trusted_until(of: Validator, **claims: float) -> float:
    return of.trusted_until(verify(token(accepted_claims(**claims)), of))


def test_keys_that_never_grow_old_vouch_for_ever() -> None:
    assert trusted_until(validator()) == math.inf


def test_keys_vouch_until_they_are_too_old_and_longer_when_renewed() -> None:
    clock = Clock()
    source = RefreshedKeys(settings(max_stale=100), FakeFetch(key()), clock, lambda _: None)
    source.refresh()
    of = validator(issuer(source))
    assert trusted_until(of) == NOW + 700

    clock.move(50)
    source.refresh()

    assert trusted_until(of) == NOW + 750


def test_a_token_is_trusted_until_it_is_too_old() -> None:
    of = validator(issuer(max_token_age=300))

    assert trusted_until(of, iat=NOW - 60) == NOW + 240
    assert trusted_until(of, iat=NOW - 300) == NOW


def test_a_token_whose_age_is_unknown_is_not_trusted() -> None:
    of = validator(issuer(max_token_age=300))
    verified = verify(token(), of)

    assert of.trusted_until(msgspec.structs.replace(verified, issued_at=None)) == 300


def test_the_earlier_of_the_two_counts() -> None:
    source = RefreshedKeys(settings(max_stale=0), FakeFetch(key()), Clock(), lambda _: None)
    source.refresh()

    assert trusted_until(validator(issuer(source, max_token_age=300)), iat=NOW) == NOW + 300
    assert trusted_until(validator(issuer(source, max_token_age=900)), iat=NOW) == NOW + 600


def test_keys_that_are_gone_vouch_for_nothing() -> None:
    source = RefreshedKeys(settings(), FakeFetch(key()), Clock(), lambda _: None)
    source.refresh()
    of = validator(issuer(source))
    verified = verify(token(), of)

    source.snapshot = None

    assert of.trusted_until(verified) == 0


def test_each_issuer_vouches_for_its_own_tokens() -> None:
    speaks = frozenset(("health",))
    of = validator(
        issuer(apis=speaks, max_token_age=300), issuer(apis=speaks, issuer=OTHER, max_token_age=200)
    )
    ours, others = (
        of.verify(token(accepted_claims(iss=name, iat=NOW)), HEALTH, NOW)
        for name in (ISSUER, OTHER)
    )

    assert (of.trusted_until(ours), of.trusted_until(others)) == (NOW + 300, NOW + 200)


def test_an_answer_is_kept_no_longer() -> None:
    loaded = load([Source("health.policy", POLICY)])
    assert loaded.policies is not None, loaded.diagnostics
    of = validator(issuer(max_token_age=300))
    engine = Engine(of, Clock(NOW + 0.5), max_decision_age=3600, trusted_until=of.trusted_until)
    engine.load(loaded.policies)
    claims = accepted_claims(iat=NOW - 60)

    decision = engine.check(Request(token(claims), "health", "read", "patient", "p1"))

    assert decision.allowed
    assert decision.cacheable_until == NOW + 240
