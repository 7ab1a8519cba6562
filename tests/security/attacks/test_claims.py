"""Attacks through claims: times, scopes, bindings, and ID tokens shown as access tokens."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.model import ResourceServer
from policyd.tokens.settings.dialect_table import DIALECTS
from tests.support.issuer_tokens import access_token_of, fixture
from tests.support.tokens import (
    AUDIENCE,
    NOW,
    accepted_claims,
    issuer,
    reason,
    token,
    validator,
    verify,
    without,
)

Claims = dict[str, Json]


@pytest.mark.parametrize("exp", ["1800000900", "\u0661\u0668", True, None, [], 1e300, -1])
def test_an_expiry_that_is_no_date(exp: Json) -> None:
    assert reason(token(accepted_claims(exp=exp))) == "CLAIM_INVALID"


def test_a_token_that_never_expires() -> None:
    assert reason(token(without(accepted_claims(), "exp"))) == "CLAIM_MISSING"


@pytest.mark.parametrize("iat", [NOW + 3600, NOW + 31])
def test_a_token_from_the_future(iat: float) -> None:
    assert reason(token(accepted_claims(iat=iat))) == "TOKEN_NOT_YET_VALID"


@pytest.mark.parametrize(
    "space", ["\u00a0", "\u2003", "\u3000", "\t", "\n", "\x0b", "\x1f", "\x85"]
)
def test_other_separators_in_scope(space: str) -> None:
    claims = accepted_claims(scope=f"read:patients{space}write:patients")

    assert reason(token(claims)) == "CLAIM_INVALID"


@pytest.mark.parametrize(
    "changes",
    [{"cnf": {"jkt": "x"}}, {"cnf": {}}, {"cnf": None}, {"cnf": {"jkt": "x", "x5t#S256": "y"}}],
)
def test_a_bound_token_without_its_proof(changes: Claims) -> None:
    assert reason(token(accepted_claims(**changes))) == "TOKEN_BINDING_INVALID"


@pytest.mark.parametrize("nonce", [True, False])
@pytest.mark.parametrize("hashed", [True, False])
@pytest.mark.parametrize("dialect", DIALECTS)
def test_an_id_token_of_each_dialect(dialect: str, nonce: bool, hashed: bool) -> None:
    """Signed by the very key of the access token beside it, for an API that would take either.

    With and without `nonce`, and with and without the hashes that mark an ID token anyway.
    """
    with_aud = dialect == "cognito"
    access = fixture(dialect, "user_with_aud") if with_aud else access_token_of(dialect)
    id_token = fixture(dialect, "id_token")
    name = str(access.claims["iss"])
    api = ResourceServer("health", access.audiences | id_token.audiences | {id_token.client})
    of = validator(issuer(dialect=dialect, issuer=name))
    header = {"typ": access.header.get("typ", "JWT")}
    assert verify(token(access.claims, header=header), of, api).issuer == name
    shown = {**without(id_token.claims, "nonce", "at_hash", "c_hash", "s_hash"), "iss": name}
    if nonce:
        shown["nonce"] = "n"
    if hashed:
        shown["at_hash"] = "fPlsvVszI29LU2UhDyJ9vg"

    assert reason(token(shown), of, api) == "ID_TOKEN"


def test_an_id_token_where_application_and_api_share_a_registration() -> None:
    shared: Claims = {"azp": AUDIENCE, "aud": AUDIENCE, "name": "Jane Doe"}

    assert reason(token(accepted_claims(**shared))) == "ID_TOKEN"
    assert reason(token(accepted_claims(nonce="n"))) == "ID_TOKEN"
