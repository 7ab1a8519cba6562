"""Attacks on what is remembered: the cache of tokens, and keys that could not be renewed."""

from __future__ import annotations

import json

from policyd.tokens.keys.refresher import RefreshedKeys
from policyd.tokens.validator import Validator
from tests.support.tokens import (
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
    assert reason(f"{header}.{payload}.{signature[:-2]}", of) != "accepted"
    assert verify(text, of).subject == "auth0|123456"


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
