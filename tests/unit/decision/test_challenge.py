"""Status and header for each class of answer, in the words of RFC 6750 and RFC 9470."""

from __future__ import annotations

import pytest

from policyd.decision import challenge as module
from policyd.decision.challenge import (
    FORBIDDEN,
    Challenge,
    Protection,
    for_detail,
    for_login,
    for_scopes,
    for_token,
    message,
    scheme,
)
from policyd.json_types import Json
from policyd.reasons import Reason
from policyd.tokens.claims import facts
from policyd.tokens.model import SenderProof, VerifiedToken
from tests.support.tokens import accepted_claims

THUMBPRINT = "0ZcOCORZNYy-DWpqq30jZyJGHTN0d2HglBV3uiguA4I"


def verified(**claims: Json) -> VerifiedToken:
    return facts.read("auth0", {}, accepted_claims(**claims))


HEALTH = Protection("health")
BY_RULES = {
    Reason.ALLOWED,
    Reason.NO_RULE_ALLOWS,
    Reason.DENIED_BY_RULE,
    Reason.INSUFFICIENT_SCOPE,
    Reason.INSUFFICIENT_USER_AUTHENTICATION,
    Reason.INSUFFICIENT_AUTHORIZATION_DETAILS,
    Reason.UNDECIDED,
}
ABOUT_KEYS = {
    Reason.KEYS_REFRESHING,
    Reason.KEYS_UNAVAILABLE,
    Reason.REVOCATIONS_UNAVAILABLE,
    Reason.INTROSPECTION_UNAVAILABLE,
}
NO_TOKEN = {Reason.TOKEN_MISSING, Reason.LOG_UNAVAILABLE}
BAD_TOKEN = sorted(set(Reason) - BY_RULES - ABOUT_KEYS - NO_TOKEN)
DESCRIPTION = "the access token is expired, revoked, malformed or not meant for this API"


def test_no_token_has_no_error_code() -> None:
    """RFC 6750, section 3.1: no error code where there was no authentication information."""
    assert for_token(HEALTH, Reason.TOKEN_MISSING, None) == Challenge(
        401, 'Bearer realm="health"', None
    )


@pytest.mark.parametrize("reason", BAD_TOKEN)
def test_every_bad_token_gets_the_same_answer(reason: Reason) -> None:
    expected = f'Bearer realm="health", error="invalid_token", error_description="{DESCRIPTION}"'
    assert for_token(HEALTH, reason, None) == Challenge(401, expected, None)
    assert message(reason) == DESCRIPTION


@pytest.mark.parametrize("reason", sorted(ABOUT_KEYS))
def test_keys_out_of_reach_are_no_fault_of_the_token(reason: Reason) -> None:
    assert for_token(HEALTH, reason, 12) == Challenge(503, "", 12)
    assert for_token(HEALTH, reason, 0) == Challenge(503, "", 0)
    assert for_token(HEALTH, reason, None) == Challenge(503, "", 5)
    assert message(reason) == "the access token cannot be verified at the moment"


def test_a_missing_scope() -> None:
    assert for_scopes(HEALTH, ("read:x", "write:x")) == Challenge(
        403, 'Bearer realm="health", error="insufficient_scope", scope="read:x write:x"', None
    )


def test_a_login_that_is_too_weak_or_too_old() -> None:
    start = (
        'Bearer realm="health", error="insufficient_user_authentication", '
        'error_description="this needs a stronger or more recent login"'
    )
    assert for_login(HEALTH, ("urn:a", "urn:b"), 900) == Challenge(
        401, start + ', acr_values="urn:a urn:b", max_age="900"', None
    )
    assert for_login(HEALTH, (), 0).www_authenticate == start + ', max_age="0"'
    assert for_login(HEALTH, ("urn:a",), None).www_authenticate == start + ', acr_values="urn:a"'
    assert for_login(HEALTH, (), None).www_authenticate == start


def test_a_missing_authorization_detail_is_told_of_where_that_is_wanted() -> None:
    assert for_detail(HEALTH) == Challenge(403, "", None)
    told = Protection("health", metadata="https://a.example/", tells_details=True)
    assert for_detail(told, "Bearer") == Challenge(
        403,
        'Bearer realm="health", error="insufficient_authorization_details", '
        'error_description="the access token lacks an authorization detail", '
        'resource_metadata="https://a.example/"',
        None,
    )
    assert for_detail(told, "DPoP").www_authenticate.startswith('DPoP realm="health", error="ins')


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a b", "a\nb", "a\x7fb", "é", "", "\ud800"])
def test_what_cannot_stand_in_a_list_is_left_out(value: str) -> None:
    assert 'acr_values="urn:a"' in for_login(HEALTH, (value, "urn:a"), None).www_authenticate
    assert "acr_values" not in for_login(HEALTH, (value,), None).www_authenticate
    assert 'scope="read:x"' in for_scopes(HEALTH, (value, "read:x")).www_authenticate


def test_a_quoted_string_is_escaped() -> None:
    odd = Protection('a"b\\c\r\nSet-Cookie: d\x00é')
    header = for_token(odd, Reason.TOKEN_MISSING, None).www_authenticate
    assert header == 'Bearer realm="a\\"b\\\\cSet-Cookie: d"'


def test_what_may_stand_in_a_quoted_string_stays() -> None:
    """RFC 9110, section 5.6.4: from space to tilde."""
    text = "".join(map(chr, range(0x20, 0x7F)))
    expected = text.replace("\\", "\\\\").replace('"', '\\"')
    assert module._quoted(f"\x1f{text}\x7f\x80") == f'"{expected}"'


def test_by_itself_a_proof_needs_no_nonce() -> None:
    assert module.Challenger().dpop_nonce(0) is None


def test_an_answer_that_needs_no_header() -> None:
    assert Challenge(403, "", None) == FORBIDDEN


def test_every_reason_has_a_message() -> None:
    assert message(Reason.ALLOWED) == ""
    assert all(message(reason) for reason in Reason if reason is not Reason.ALLOWED)
    assert message(Reason.TOKEN_MISSING) == "an access token is needed"
    assert message(Reason.NO_RULE_ALLOWS) != message(Reason.DENIED_BY_RULE)


def test_names_the_metadata_in_every_challenge_of_the_api() -> None:
    url = "https://example.com/.well-known/oauth-protected-resource/health-api"
    end = f', resource_metadata="{url}"'
    told = Protection("health", metadata=url)
    challenges = (
        for_token(told, Reason.TOKEN_MISSING, None),
        for_token(told, Reason.TOKEN_EXPIRED, None),
        for_scopes(told, ("read:x",)),
        for_login(told, ("urn:a",), 900),
    )
    for challenge in challenges:
        assert challenge.www_authenticate.startswith('Bearer realm="health"')
        assert challenge.www_authenticate.endswith(end)
    assert for_token(told, Reason.KEYS_UNAVAILABLE, None).www_authenticate == ""


def test_a_header_is_written_once() -> None:
    made = [for_token(HEALTH, Reason.TOKEN_EXPIRED, None) for _ in range(2)]
    assert made[0] is made[1]


SHOP = Protection("shop", ("Bearer", "DPoP"), ("ES256", "EdDSA"))
BINDING = Reason.TOKEN_BINDING_INVALID


def test_offers_each_scheme_to_who_brought_no_token() -> None:
    """RFC 9449, section 7.1: one challenge for each scheme that the API takes."""
    alone = Protection("shop", ("DPoP",), ("ES256",))
    assert for_token(SHOP, Reason.TOKEN_MISSING, None).www_authenticate == (
        'Bearer realm="shop", DPoP realm="shop", algs="ES256 EdDSA"'
    )
    assert for_token(alone, Reason.TOKEN_MISSING, None).www_authenticate == (
        'DPoP realm="shop", algs="ES256"'
    )


@pytest.mark.parametrize(
    ("error", "description"),
    [
        ("invalid_token", DESCRIPTION),
        (
            "invalid_dpop_proof",
            "the DPoP proof is malformed, out of date, used before, or made for another request",
        ),
        ("use_dpop_nonce", "the DPoP proof needs the nonce that comes with this answer"),
    ],
)
def test_a_refusal_under_dpop_says_what_proofs_may_be_signed_with(
    error: str, description: str
) -> None:
    answer = for_token(SHOP, BINDING, None, "DPoP", error)
    assert answer == Challenge(
        401,
        f'DPoP realm="shop", error="{error}", error_description="{description}", '
        'algs="ES256 EdDSA"',
        None,
    )
    assert message(BINDING, error) == description


def test_a_full_house_is_no_fault_of_the_proof() -> None:
    unavailable = "temporarily_unavailable"
    assert for_token(SHOP, BINDING, 7, "DPoP", unavailable) == Challenge(503, "", 7)
    assert message(BINDING, unavailable) == "the access token cannot be verified at the moment"


def test_a_token_under_dpop_is_asked_for_more_under_dpop() -> None:
    assert for_scopes(SHOP, ("read:x",), "DPoP").www_authenticate == (
        'DPoP realm="shop", error="insufficient_scope", scope="read:x", algs="ES256 EdDSA"'
    )
    header = for_login(SHOP, (), 900, "DPoP").www_authenticate
    assert header.startswith('DPoP realm="shop", error="insufficient_user_authentication"')
    assert header.endswith('max_age="900", algs="ES256 EdDSA"')


def test_the_scheme_is_the_one_that_the_token_came_with() -> None:
    by_proof = SenderProof(dpop_proofs=("p",))
    dpop = verified(cnf={"jkt": THUMBPRINT})
    mtls = verified(cnf={"x5t#S256": THUMBPRINT})
    plain = verified()
    only = Protection("shop", ("DPoP",))
    assert [scheme(SHOP, token) for token in (dpop, mtls, plain, None)] == [
        "DPoP",
        "Bearer",
        "Bearer",
        "Bearer",
    ]
    assert [scheme(SHOP, token, by_proof) for token in (plain, None)] == ["DPoP", "DPoP"]
    assert [scheme(only, token) for token in (mtls, None)] == ["DPoP", "DPoP"]
