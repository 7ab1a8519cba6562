"""Attacks on what is remembered: the cache of tokens, and keys that could not be renewed."""

from __future__ import annotations

import json

from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.validator import Validator
from tests.support.tokens import (
    NOW,
    Clock,
    FakeFetch,
    accepted_claims,
    encoded,
    issuer,
    key,
    reason,
    segments,
    settings,
    token,
    unsigned,
    validator,
    verify,
)


def test_a_tampered_token_does_not_hit_the_cache_of_the_real_one() -> None:
    of = validator()
    text = token()
    verify(text, of)
    header, payload, signature = segments(text)
    tampered = encoded(json.dumps(accepted_claims(scope="admin")).encode())

    assert reason(f"{header}.{tampered}.{signature}", of) == "SIGNATURE_INVALID"
    assert reason(f"{header}.{payload}.{signature[:-2]}", of) == "SIGNATURE_INVALID"
    assert verify(text, of).subject == "auth0|123456"


def test_a_refused_token_loosens_no_later_check() -> None:
    """CVE-2026-103001 (GHSA-gvp8-978c-rx2q): what is read before the signature is read leaves no
    trace. A token that fails at each step comes before those that later steps must refuse.
    """
    of = validator()
    later = {
        token(accepted_claims(exp=int(NOW) - 60)): "TOKEN_EXPIRED",
        token(accepted_claims(nbf=int(NOW) + 60)): "TOKEN_NOT_YET_VALID",
        token(accepted_claims(aud="https://elsewhere.example")): "AUDIENCE_MISMATCH",
        token(accepted_claims(sub="")): "CLAIM_INVALID",
    }
    before = {
        unsigned({"alg": "none"}): "ALGORITHM_NOT_ALLOWED",
        token(accepted_claims(iss="https://evil.example/")): "ISSUER_UNKNOWN",
        token(by=key(name="stranger")): "KEY_UNKNOWN",
        f"{token().rpartition('.')[0]}.AAAA": "SIGNATURE_INVALID",
        token(accepted_claims(at_hash="x")): "ID_TOKEN",
    }
    assert verify(token(), of).subject == "auth0|123456"
    for first, refused in before.items():
        for text, expected in later.items():
            assert reason(first, of) == refused
            assert reason(text, of) == expected


def test_an_outage_of_the_key_server_refuses_nobody_who_was_known() -> None:
    """CVE-2026-48524 (GHSA-fhv5-28vv-h8m8): a failed fetch does not empty what is there."""
    fetch = FakeFetch(key())
    source = RefreshedKeys(settings(), fetch, Clock(), lambda _: None)
    source.refresh()
    fetch.fail()
    source.refresh()
    of = Validator([issuer(source)])

    assert verify(token(), of).subject == "auth0|123456"
    assert reason(token(header={"kid": "invented"}), of) == "KEYS_REFRESHING"
