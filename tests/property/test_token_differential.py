"""What policyd accepts, PyJWT accepts: policyd's own parsing only ever refuses more."""

from __future__ import annotations

import json
from random import Random

import jwt
from hypothesis import given
from hypothesis import strategies as st
from jwt.types import Options

from policyd.json_types import Json
from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.model import ResourceServer
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.settings.dialect_table import DIALECTS
from tests.support.issuer_tokens import API, IssuerToken, genuine
from tests.support.tokens import (
    AUDIENCE,
    HEALTH,
    ISSUER,
    NOW,
    accepted_claims,
    encoded,
    issuer,
    key,
    raw_token,
    segments,
    token,
    validator,
)

OF = {name: validator(issuer(algorithms=(name,))) for name in ALGORITHMS}

json_values: st.SearchStrategy[Json] = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(max_size=10),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner),
    max_leaves=6,
)
names = st.sampled_from(
    ("iss", "sub", "aud", "azp", "exp", "nbf", "iat", "scope", "jti", "nonce", "gty", "x")
)
near = st.sampled_from(
    (ISSUER, AUDIENCE, [AUDIENCE], NOW, NOW + 1, NOW - 29, NOW + 29, NOW + 0.5, "text", "", 0, -1)
)


def assert_subset(text: str, algorithm: str) -> bool:
    """Check that PyJWT accepts `text` if policyd does; tell whether policyd does."""
    try:
        verified = OF[algorithm].verify(text, HEALTH, NOW)
    except TokenRefused:
        return False
    assert_accepted(text, algorithm, verified.claims, ISSUER, [AUDIENCE])
    return True


def assert_accepted(
    text: str, algorithm: str, claims: object, name: str, audiences: list[str]
) -> None:
    """Check that PyJWT accepts a token too. Without `audiences` the token need have none."""
    # PyJWT looks at the real clock, so its own tests of time are left out, and done here.
    options: Options = {"verify_exp": False, "verify_nbf": False, "verify_iat": False}
    decoded = jwt.decode(
        text,
        jwt.PyJWK(key(algorithm).public_jwk()),
        algorithms=[algorithm],
        audience=audiences or None,
        issuer=name,
        options=options,
    )
    assert decoded == claims
    assert decoded["exp"] + 30 > NOW
    assert decoded.get("nbf", 0) <= NOW + 30
    assert decoded.get("iat", 0) <= NOW + 30


def test_an_ordinary_token_is_accepted_by_both() -> None:
    for algorithm in ALGORITHMS:
        assert assert_subset(token(by=key(algorithm)), algorithm)


@given(st.sampled_from(ALGORITHMS), st.dictionaries(names, near | json_values, max_size=3))
def test_with_any_claims(algorithm: str, changes: dict[str, Json]) -> None:
    assert_subset(token(accepted_claims(**changes), by=key(algorithm)), algorithm)


@given(
    st.sampled_from(ALGORITHMS),
    st.integers(0, 2),
    st.integers(0, 10_000),
    st.characters(max_codepoint=255),
)
def test_with_any_character_changed(algorithm: str, place: int, at: int, character: str) -> None:
    parts = list(segments(token(by=key(algorithm))))
    at %= len(parts[place])
    parts[place] = parts[place][:at] + character + parts[place][at + 1 :]

    assert_subset(".".join(parts), algorithm)


@given(st.binary(max_size=40), st.integers(0, 10_000), st.booleans())
def test_with_any_bytes_in_a_signed_payload(data: bytes, at: int, replace: bool) -> None:
    payload = json.dumps(accepted_claims()).encode()
    at %= len(payload)
    changed = payload[:at] + data + payload[at + (len(data) if replace else 0) :]

    assert_subset(raw_token(payload=changed), "RS256")


@given(st.dictionaries(st.sampled_from(("alg", "kid", "typ", "cty", "crit", "x")), json_values))
def test_with_any_header(changes: dict[str, Json]) -> None:
    assert_subset(token(header=changes), "RS256")


@given(st.text(alphabet="abcABC012-_=. +/\n", max_size=60))
def test_any_text_is_refused_by_name(text: str) -> None:
    for candidate in (text, f"{encoded(text.encode())}.{text}.{text}"):
        assert not assert_subset(candidate, "RS256")


def verified_as_its_dialect_does(one: IssuerToken, claims: dict[str, Json]) -> bool:
    """Sign claims for an issuer of that dialect; check the subset, tell whether policyd accepts."""
    clients = {API: frozenset((one.client,))} if DIALECTS[one.dialect].audience_by_client else {}
    name = str(one.claims["iss"])
    of = validator(issuer(dialect=one.dialect, issuer=name, clients=clients))
    text = token(claims, header={**one.header, "kid": key().key_id})
    try:
        verified = of.verify(text, ResourceServer(API, one.audiences), NOW)
    except TokenRefused:
        return False
    # Cognito's may lack `aud`, which policyd makes up for by the client; PyJWT does not.
    assert_accepted(text, "RS256", verified.claims, name, sorted(one.audiences & aud_of(claims)))
    return True


def aud_of(claims: dict[str, Json]) -> set[str]:
    aud = claims.get("aud", [])
    return {str(each) for each in (aud if isinstance(aud, list) else [aud])}


@given(st.sampled_from(tuple(DIALECTS)), st.integers(0, 10_000))
def test_genuine_tokens_are_accepted_by_both(dialect: str, seed: int) -> None:
    for one in genuine(dialect, seed, 2):
        assert verified_as_its_dialect_does(one, dict(one.claims))


@given(
    st.sampled_from(tuple(DIALECTS)),
    st.integers(0, 10_000),
    st.dictionaries(names, near | json_values, max_size=2),
)
def test_genuine_tokens_with_claims_that_left_moved_or_changed(
    dialect: str, seed: int, changes: dict[str, Json]
) -> None:
    """One claim leaves, two change places, and some become anything."""
    (one,) = genuine(dialect, seed, 1)
    claims, rng = dict(one.claims), Random(seed)
    first, second = rng.sample(sorted(claims), 2)
    claims[first], claims[second] = claims[second], claims[first]
    del claims[rng.choice(sorted(claims))]

    verified_as_its_dialect_does(one, {**claims, **changes})
    verified_as_its_dialect_does(one, {**one.claims, **changes})
