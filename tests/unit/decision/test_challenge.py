"""Status and header for each class of answer, in the words of RFC 6750 and RFC 9470."""

from __future__ import annotations

import pytest

from policyd.decision.challenge import (
    FORBIDDEN,
    PERMITTED,
    Challenge,
    for_login,
    for_scopes,
    for_token,
    message,
)
from policyd.reasons import Reason

BY_RULES = {
    Reason.ALLOWED,
    Reason.NO_RULE_ALLOWS,
    Reason.DENIED_BY_RULE,
    Reason.INSUFFICIENT_SCOPE,
    Reason.INSUFFICIENT_USER_AUTHENTICATION,
}
ABOUT_KEYS = {Reason.KEYS_REFRESHING, Reason.KEYS_UNAVAILABLE}
BAD_TOKEN = sorted(set(Reason) - BY_RULES - ABOUT_KEYS - {Reason.TOKEN_MISSING})
DESCRIPTION = "the access token is expired, revoked, malformed or not meant for this API"


def test_no_token_has_no_error_code() -> None:
    """RFC 6750, section 3.1: no error code where there was no authentication information."""
    assert for_token("health", Reason.TOKEN_MISSING, None) == Challenge(
        401, 'Bearer realm="health"', None
    )


@pytest.mark.parametrize("reason", BAD_TOKEN)
def test_every_bad_token_gets_the_same_answer(reason: Reason) -> None:
    expected = f'Bearer realm="health", error="invalid_token", error_description="{DESCRIPTION}"'
    assert for_token("health", reason, None) == Challenge(401, expected, None)
    assert message(reason) == DESCRIPTION


@pytest.mark.parametrize("reason", sorted(ABOUT_KEYS))
def test_keys_out_of_reach_are_no_fault_of_the_token(reason: Reason) -> None:
    assert for_token("health", reason, 12) == Challenge(503, "", 12)
    assert for_token("health", reason, 0) == Challenge(503, "", 0)
    assert for_token("health", reason, None) == Challenge(503, "", 5)
    assert message(reason) == "the access token cannot be verified at the moment"


def test_a_missing_scope() -> None:
    assert for_scopes("health", ["read:x", "write:x"]) == Challenge(
        403, 'Bearer realm="health", error="insufficient_scope", scope="read:x write:x"', None
    )


def test_a_login_that_is_too_weak_or_too_old() -> None:
    start = (
        'Bearer realm="health", error="insufficient_user_authentication", '
        'error_description="this needs a stronger or more recent login"'
    )
    assert for_login("health", ["urn:a", "urn:b"], 900) == Challenge(
        401, start + ', acr_values="urn:a urn:b", max_age="900"', None
    )
    assert for_login("health", [], 0).www_authenticate == start + ', max_age="0"'
    assert for_login("health", ["urn:a"], None).www_authenticate == start + ', acr_values="urn:a"'
    assert for_login("health", [], None).www_authenticate == start


@pytest.mark.parametrize("value", ['a"b', "a\\b", "a b", "a\nb", "a\x7fb", "é", "", "\ud800"])
def test_what_cannot_stand_in_a_list_is_left_out(value: str) -> None:
    assert 'acr_values="urn:a"' in for_login("health", [value, "urn:a"], None).www_authenticate
    assert "acr_values" not in for_login("health", [value], None).www_authenticate
    assert 'scope="read:x"' in for_scopes("health", [value, "read:x"]).www_authenticate


def test_a_quoted_string_is_escaped() -> None:
    header = for_token('a"b\\c\r\nSet-Cookie: d\x00é', Reason.TOKEN_MISSING, None).www_authenticate
    assert header == 'Bearer realm="a\\"b\\\\cSet-Cookie: d"'


def test_answers_that_need_no_header() -> None:
    assert Challenge(200, "", None) == PERMITTED
    assert Challenge(403, "", None) == FORBIDDEN


def test_every_reason_has_a_message() -> None:
    assert message(Reason.ALLOWED) == ""
    assert all(message(reason) for reason in Reason if reason is not Reason.ALLOWED)
    assert message(Reason.TOKEN_MISSING) == "an access token is needed"
    assert message(Reason.NO_RULE_ALLOWS) != message(Reason.DENIED_BY_RULE)
