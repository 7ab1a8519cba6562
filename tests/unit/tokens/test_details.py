"""What a refusal says to whoever reads the log, and tokens whose kind hangs on one detail."""

from __future__ import annotations

import json

import pytest

from policyd.json_types import Json
from policyd.tokens.keys.key_set import read_key_set
from tests.support.tokens import (
    AUDIENCE,
    CLIENT,
    NOW,
    accepted_claims,
    issuer,
    key,
    reason,
    refusal,
    token,
    validator,
    verify,
)


@pytest.mark.parametrize(
    ("claims", "detail"),
    [
        ({"nbf": NOW + 100}, ", 100 s ahead"),
        ({"iat": NOW + 100}, ", 100 s ahead"),
        ({"exp": NOW - 100}, ", 100 s ago"),
    ],
)
def test_a_token_out_of_time_says_by_how_much(claims: dict[str, Json], detail: str) -> None:
    assert detail in str(refusal(token(accepted_claims(**claims))))


def test_a_token_that_is_too_old_says_its_age() -> None:
    of = validator(issuer(max_token_age=50))
    assert "issued 60 s ago" in str(refusal(token(accepted_claims(iat=NOW - 60)), of))


@pytest.mark.parametrize(
    ("audience", "detail"),
    [
        ([], "for no audience,"),
        (["a", "b", "c"], "for 'a', 'b', 'c',"),
        (["a", "b", "c", "d"], "for 'a', 'b', 'c' and 1 more,"),
    ],
)
def test_a_token_for_others_says_for_whom(audience: list[Json], detail: str) -> None:
    assert detail in str(refusal(token(accepted_claims(aud=audience))))


def test_the_application_as_audience_is_no_mark_of_an_access_token_even_typed_as_one() -> None:
    header: dict[str, Json] = {"typ": "at+jwt"}
    assert verify(token(accepted_claims(aud=[AUDIENCE]), header=header)).client == CLIENT
    shared = accepted_claims(aud=[AUDIENCE, CLIENT])
    assert reason(token(shared, header=header)) == "TOKEN_TYPE"


def test_an_application_that_is_no_text_is_nobodys_audience() -> None:
    of = validator(issuer(dialect="oidc"))
    assert reason(token(accepted_claims(azp=5, aud=[AUDIENCE, 5])), of) == "CLAIM_INVALID"


def test_a_key_of_an_unknown_type_is_skipped_for_its_type() -> None:
    other = json.dumps({**key().public_jwk(), "kid": "other", "kty": "XYZ"})
    keys = read_key_set(
        b'{"keys":[%s,%s]}' % (json.dumps(key().public_jwk()).encode(), other.encode()), ("RS256",)
    )
    assert ["XYZ" in text and "known are RSA" in text for text in keys.skipped] == [True]
