"""What each dialect makes of a payload."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.claims import facts
from policyd.tokens.model import VerifiedToken
from policyd.tokens.refusals import TokenRefused
from tests.support.tokens import CLIENT, accepted_claims, rfc9068_claims, without

Claims = dict[str, Json]
CLAIMS = {
    "auth0": accepted_claims,
    "auth0-rfc9068": rfc9068_claims,
    "rfc9068": rfc9068_claims,
    "oidc": rfc9068_claims,
}


def read(dialect: str = "auth0", **changes: Json) -> VerifiedToken:
    return facts.read(dialect, {"alg": "RS256"}, CLAIMS[dialect](**changes))


def reason(dialect: str, claims: Claims) -> str:
    with pytest.raises(TokenRefused) as caught:
        facts.read(dialect, {}, claims)
    return caught.value.reason


def test_facts_have_the_same_names_in_each_dialect() -> None:
    for dialect in CLAIMS:
        token = read(dialect, jti="token-1", sub="someone")
        assert token.subject == "someone"
        assert token.client == CLIENT
        assert token.token_id == "token-1"
        assert "read:patients" in token.scopes


def test_the_header_is_read_too() -> None:
    header: Claims = {"alg": "Ed25519", "kid": "k", "typ": "JWT"}
    token = facts.read("auth0", header, accepted_claims(nbf=5))

    assert (token.algorithm, token.key_id, token.not_before) == ("EdDSA", "k", 5)


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        ("", []),
        ("one", ["one"]),
        ("one two one", ["one", "two"]),
        ("a:b/c!#$%&'()*+,-.~", ["a:b/c!#$%&'()*+,-.~"]),
    ],
)
def test_scopes_are_one_space_apart(scope: str, expected: list[str]) -> None:
    assert read(scope=scope).scopes == frozenset(expected)


@pytest.mark.parametrize(
    "scope",
    [
        " ",
        "one  two",
        " one",
        "one ",
        "one\ttwo",
        "one\ntwo",
        "one\u00a0two",
        "one\u2003two",
        "one\u0000two",
        'one"',
        "one\\",
        "\u00e9",
        ["one", "two"],
        7,
        None,
        True,
        {},
    ],
)
def test_a_scope_of_another_form_is_invalid(scope: Json) -> None:
    assert reason("auth0", accepted_claims(scope=scope)) == "CLAIM_INVALID"


def test_a_token_without_scope_grants_nothing() -> None:
    claims = without(accepted_claims(authorization_details=[{"type": "payment"}]), "scope")

    assert facts.read("auth0", {}, claims).scopes == frozenset()


def test_permissions_are_read_where_the_dialect_has_them_and_never_merged() -> None:
    token = read("auth0", permissions=["write:patients"])

    assert token.permissions == {"write:patients"}
    assert "write:patients" not in token.scopes
    assert read("auth0-rfc9068", permissions=["a"]).permissions == {"a"}
    assert read("rfc9068", permissions=["a"]).permissions == frozenset()
    assert read("oidc", permissions=["a"]).permissions == frozenset()


@pytest.mark.parametrize("permissions", ["write", ["write", 7], None, {}])
def test_permissions_of_another_type_are_invalid(permissions: Json) -> None:
    assert reason("auth0", accepted_claims(permissions=permissions)) == "CLAIM_INVALID"


@pytest.mark.parametrize(
    ("dialect", "required"),
    [
        ("auth0", ("sub",)),
        ("auth0-rfc9068", ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")),
        ("rfc9068", ("iss", "exp", "aud", "sub", "client_id", "iat", "jti")),
    ],
)
def test_required_claims_are_required(dialect: str, required: tuple[str, ...]) -> None:
    for name in required:
        assert reason(dialect, without(CLAIMS[dialect](), name)) == "CLAIM_MISSING"


@pytest.mark.parametrize("name", ["sub", "jti", "iss"])
@pytest.mark.parametrize("value", ["", 7, None, ["a"], True])
def test_names_are_text_and_not_empty(name: str, value: Json) -> None:
    assert reason("oidc", rfc9068_claims(**{name: value})) == "CLAIM_INVALID"


def test_what_a_token_does_not_tell_is_none() -> None:
    token = facts.read("oidc", {}, {"exp": 9, "aud": "a", "scope": ""})

    assert (token.subject, token.client, token.kind, token.actor) == (None, None, None, None)
    assert (token.token_id, token.issued_at, token.not_before) == (None, None, None)


def test_two_claims_that_name_the_application_must_agree() -> None:
    assert read("oidc", azp=CLIENT).client == CLIENT
    assert facts.read("oidc", {}, without(rfc9068_claims(azp="x"), "client_id")).client == "x"
    assert reason("oidc", rfc9068_claims(azp="another")) == "CLAIM_INVALID"
    assert reason("oidc", rfc9068_claims(client_id=7)) == "CLAIM_INVALID"


@pytest.mark.parametrize(
    ("dialect", "changes", "expected"),
    [
        ("auth0", {"sub": "auth0|1"}, "user"),
        ("auth0", {"sub": "google-oauth2|1"}, "user"),
        ("auth0", {"sub": "|"}, None),
        ("auth0", {"sub": "|1"}, None),
        ("auth0", {"sub": "auth0|"}, None),
        ("auth0", {"sub": "someone"}, None),
        ("auth0", {"sub": CLIENT + "@clients"}, "application"),
        ("auth0", {"sub": "another@clients"}, None),
        ("auth0", {"sub": CLIENT}, "application"),
        ("auth0", {"sub": CLIENT + "x"}, None),
        ("auth0", {"sub": "x", "gty": "client-credentials"}, "application"),
        ("auth0", {"sub": "x", "gty": "client_credentials"}, "application"),
        ("auth0", {"sub": "x", "gty": "password"}, "user"),
        ("auth0", {"sub": "x", "gty": "client"}, None),
        ("auth0", {"sub": "x", "gty": ["client-credentials"]}, None),
        ("auth0", {"sub": "auth0|1", "gty": "client-credentials"}, None),
        ("rfc9068", {"sub": "auth0|1"}, None),
        ("rfc9068", {"sub": CLIENT}, "application"),
        ("rfc9068", {"sub": CLIENT + "@clients"}, None),
        ("rfc9068", {"auth_time": 1}, "user"),
        ("rfc9068", {"sub": CLIENT, "auth_time": 1}, None),
        ("rfc9068", {"sub_profile": "user"}, "user"),
        ("rfc9068", {"sub_profile": "ai_agent service"}, "application"),
        ("rfc9068", {"sub_profile": "user service"}, None),
        ("rfc9068", {"sub_profile": ["user"]}, None),
        ("oidc", {}, None),
        ("oidc", {"auth_time": 0}, None),
        ("oidc", {"auth_time": 0.5}, "user"),
        ("oidc", {"auth_time": "now"}, None),
    ],
)
def test_user_or_application_by_positive_signs_alone(
    dialect: str, changes: Claims, expected: str | None
) -> None:
    assert read(dialect, **changes).kind == expected


def test_the_current_actor_is_the_outermost() -> None:
    act: Json = {"sub": "now", "act": {"sub": "before", "act": {"sub": "first"}}}

    assert read(act=act).actor == "now"


@pytest.mark.parametrize("depth", [1, 5])
def test_actors_nest_to_a_bound(depth: int) -> None:
    assert read(act=_nested(depth)).actor == "actor"


@pytest.mark.parametrize(
    "act",
    [
        None,
        "actor",
        {},
        {"client_id": "x"},
        {"sub": ""},
        {"sub": 7},
        {"sub": "a", "act": "b"},
        pytest.param(6, id="six deep"),
    ],
)
def test_an_actor_that_cannot_be_named_is_invalid(act: Json) -> None:
    claims = accepted_claims(act=_nested(act) if isinstance(act, int) else act)

    assert reason("auth0", claims) == "CLAIM_INVALID"


def _nested(depth: int) -> Json:
    act: Json = None
    for _ in range(depth):
        act = {"sub": "actor"} if act is None else {"sub": "actor", "act": act}
    return act
