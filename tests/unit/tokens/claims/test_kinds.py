"""Access token, ID token or neither, per dialect: one thing changed in a token that is accepted."""

from __future__ import annotations

import re

import pytest

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.claims import kinds
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.settings.dialect_table import DIALECTS
from tests.support.tokens import (
    AUDIENCE,
    CLIENT,
    accepted_claims,
    refusal,
    rfc9068_claims,
    token,
    without,
)

Claims = dict[str, Json]


def verdict(dialect: str, claims: Claims, typ: str | None = None) -> str:
    header = jws.read_header(
        b'{"alg":"RS256"}' if typ is None else b'{"alg":"RS256","typ":"%s"}' % typ.encode()
    )
    try:
        kinds.check_kind(DIALECTS[dialect], header, claims)
    except TokenRefused as refusal:
        return refusal.reason
    return "accepted"


@pytest.mark.parametrize("typ", ["at+jwt", "AT+JWT", "application/at+jwt", "Application/At+Jwt"])
@pytest.mark.parametrize("dialect", ["auth0-rfc9068", "rfc9068"])
def test_at_jwt_marks_an_access_token(dialect: str, typ: str) -> None:
    assert verdict(dialect, rfc9068_claims(), typ) == "accepted"


@pytest.mark.parametrize("dialect", ["auth0-rfc9068", "rfc9068"])
def test_nothing_else_does_in_these_dialects(dialect: str) -> None:
    assert verdict(dialect, rfc9068_claims(), "JWT") == "TOKEN_TYPE"
    assert verdict(dialect, rfc9068_claims()) == "TOKEN_TYPE"
    assert verdict(dialect, rfc9068_claims(email="a@b.example")) == "ID_TOKEN"


@pytest.mark.parametrize("dialect", ["auth0-rfc9068", "rfc9068"])
def test_the_mark_decides_where_one_registration_is_client_and_api(dialect: str) -> None:
    claims = rfc9068_claims(client_id=AUDIENCE, nonce="n")

    assert verdict(dialect, claims, "at+jwt") == "accepted"


@pytest.mark.parametrize("mark", ["scope", "permissions", "gty"])
def test_auth0_needs_an_application_that_is_no_audience_and_a_grant(mark: str) -> None:
    bare = without(accepted_claims(), "scope")

    assert verdict("auth0", {**bare, mark: "x"}) == "accepted"
    assert verdict("auth0", bare) == "TOKEN_TYPE"
    assert verdict("auth0", without({**bare, mark: "x"}, "azp")) == "TOKEN_TYPE"
    assert verdict("auth0", {**bare, mark: "x", "azp": 7}) == "TOKEN_TYPE"


@pytest.mark.parametrize("mark", ["scope", "scp", "client_id"])
def test_oidc_needs_a_scope_or_a_client_id(mark: str) -> None:
    bare = without(accepted_claims(), "scope")

    assert verdict("oidc", {**bare, mark: "x"}) == "accepted"
    assert verdict("oidc", bare) == "TOKEN_TYPE"


@pytest.mark.parametrize(
    "evidence",
    [
        {"at_hash": "x"},
        {"c_hash": "x"},
        {"s_hash": None},
        {"token_use": "id"},
        {"typ": "ID"},
        {"typ": "id"},
        {"nonce": "n"},
        {"nonce": None},
    ],
)
@pytest.mark.parametrize("dialect", ["auth0", "oidc"])
def test_whatever_only_an_id_token_carries_refuses(dialect: str, evidence: Claims) -> None:
    assert verdict(dialect, accepted_claims()) == "accepted"
    assert verdict(dialect, accepted_claims(**evidence)) == "ID_TOKEN"


@pytest.mark.parametrize(
    "evidence", [{"at_hash": "x"}, {"c_hash": "x"}, {"s_hash": "x"}, {"token_use": "id"}]
)
def test_it_refuses_even_with_a_decisive_mark(evidence: Claims) -> None:
    assert verdict("rfc9068", rfc9068_claims(**evidence), "at+jwt") == "ID_TOKEN"


@pytest.mark.parametrize("dialect", ["auth0", "oidc"])
@pytest.mark.parametrize("aud", [CLIENT, [CLIENT], [AUDIENCE, CLIENT]])
def test_an_application_that_is_its_own_audience_holds_an_id_token(dialect: str, aud: Json) -> None:
    assert verdict(dialect, accepted_claims(aud=aud)) == "ID_TOKEN"


def test_in_oidc_either_claim_may_name_the_application() -> None:
    claims = without(accepted_claims(client_id=CLIENT, aud=[AUDIENCE, CLIENT]), "azp")

    assert verdict("oidc", claims) == "ID_TOKEN"
    assert verdict("oidc", claims, "at+jwt") == "accepted"


def test_auth0s_mark_is_broken_by_an_application_that_is_an_audience_whatever_the_typ() -> None:
    assert verdict("auth0", accepted_claims(), "at+jwt") == "accepted"
    assert verdict("auth0", accepted_claims(aud=[AUDIENCE, CLIENT]), "at+jwt") == "TOKEN_TYPE"
    assert verdict("auth0", accepted_claims(aud=CLIENT), "at+jwt") == "ID_TOKEN"


@pytest.mark.parametrize("typ", ["at+jwt", "application/at+jwt"])
def test_a_typ_of_at_jwt_speaks_for_itself_in_oidc(typ: str) -> None:
    assert verdict("oidc", accepted_claims(nonce="n"), typ) == "accepted"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"aud": CLIENT, "name": "Jane"}, "ID_TOKEN"),
        ({"aud": [CLIENT], "email": "j@example.com"}, "ID_TOKEN"),
        ({"aud": CLIENT}, "TOKEN_TYPE"),
        ({"aud": CLIENT, "azp": CLIENT}, "ID_TOKEN"),
        ({"aud": None, "azp": None}, "TOKEN_TYPE"),
        ({"aud": [None], "azp": None}, "TOKEN_TYPE"),
        ({}, "TOKEN_TYPE"),
    ],
)
def test_without_a_mark_the_shape_tells(claims: Claims, expected: str) -> None:
    assert verdict("oidc", claims) == expected
    assert verdict("rfc9068", claims) == expected


def test_where_a_mark_decides_several_audiences_are_not_its_shape() -> None:
    assert verdict("rfc9068", {"aud": [CLIENT, "other"], "name": "Jane"}) == "TOKEN_TYPE"


def test_a_nonce_is() -> None:
    assert verdict("rfc9068", {"aud": [CLIENT, "other"], "nonce": "n"}) == "ID_TOKEN"


@pytest.mark.parametrize("dialect", ["auth0", "oidc"])
def test_a_person_without_an_application_may_be_an_id_token(dialect: str) -> None:
    """Its only audience may be the application that it is for: nothing in it says otherwise."""
    claims = without(accepted_claims(name="Jane"), "azp")

    assert verdict(dialect, accepted_claims(name="Jane")) == "accepted"
    assert verdict(dialect, claims) == "ID_TOKEN"
    assert verdict("oidc", without(claims, "name")) == "accepted"
    assert verdict("oidc", claims, "at+jwt") == "accepted"


@pytest.mark.parametrize(
    ("token_id", "expected"), [("ID.1", "ID_TOKEN"), ("id.1", "accepted"), ("AT.1", "accepted")]
)
def test_okta_begins_the_id_of_an_id_token_with_its_kind(token_id: str, expected: str) -> None:
    assert verdict("oidc", rfc9068_claims(jti=token_id)) == expected
    assert verdict("rfc9068", rfc9068_claims(jti=token_id), "at+jwt") == expected


def test_a_detail_says_what_marks_an_access_token() -> None:
    claims = without(accepted_claims(), "scope")
    for dialect, mark in {
        "auth0": "`azp` that is no audience, and `scope`, `permissions` or `gty`",
        "rfc9068": "the header's `typ` at+jwt",
        "okta": "`cid`",
        "entra": "`azp` and `azpacr` or `appid` and `appidacr`",
        "keycloak": "`typ` Bearer or DPoP",
        "cognito": "`token_use` access",
        "kubernetes": "`kubernetes.io`",
        "oidc": "`scope`, `scp` or `client_id`",
    }.items():
        assert kinds.mark_of(DIALECTS[dialect]) == mark
        with pytest.raises(TokenRefused, match=re.escape(mark)):
            kinds.check_kind(DIALECTS[dialect], jws.read_header(b'{"alg":"RS256"}'), claims)


@pytest.mark.parametrize(
    "typ",
    [
        "logout+jwt",
        "dpop+jwt",
        "secevent+jwt",
        "rt+jwt",
        "token-introspection+jwt",
        "",
        "at",
        "JWE",
    ],
)
@pytest.mark.parametrize("dialect", ["auth0", "oidc", "rfc9068"])
def test_another_type_in_the_header_refuses(dialect: str, typ: str) -> None:
    assert verdict(dialect, accepted_claims(), typ) == "TOKEN_TYPE"


@pytest.mark.parametrize(
    "evidence",
    [{"events": {}}, {"typ": "Refresh"}, {"typ": "Offline"}, {"typ": "Logout"}],
)
def test_other_kinds_of_token_are_told_by_their_claims(evidence: Claims) -> None:
    assert verdict("auth0", accepted_claims(**evidence)) == "TOKEN_TYPE"


@pytest.mark.parametrize("own", [{"typ": "Bearer"}, {"typ": 7}, {"token_use": "access"}])
def test_claims_that_say_nothing_against_it_do_not_refuse(own: Claims) -> None:
    assert verdict("auth0", accepted_claims(**own)) == "accepted"


@pytest.mark.parametrize("token_type", sorted(kinds.OTHER_TYPES))
def test_a_known_type_of_something_else_is_told_where_it_belongs(token_type: str) -> None:
    for spelling in (token_type, f"application/{token_type}", token_type.upper()):
        found = refusal(token(header={"typ": spelling}))

        assert found.reason == "TOKEN_TYPE"
        assert "is no access token; " in str(found)
        assert kinds.OTHER_TYPES[token_type] in str(found)


def test_an_id_jag_is_to_be_exchanged() -> None:
    found = refusal(token(header={"typ": "oauth-id-jag+jwt"}))

    assert found.reason == "TOKEN_TYPE"
    assert "exchanges it for one at the token endpoint" in str(found)
