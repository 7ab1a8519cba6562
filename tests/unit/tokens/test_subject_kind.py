"""User or application: each sign for itself, and none undoes another."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.claims import facts
from policyd.tokens.model import SubjectKind
from tests.support.tokens import accepted_claims, rfc9068_claims, without


def kind(dialect: str = "oidc", /, **changes: Json) -> SubjectKind | None:
    """Return the kind of a subject of whom nothing is known but `changes`."""
    claims = accepted_claims(sub="someone", azp="an-application")
    return facts.read(dialect, {}, {**claims, **changes}).kind


@pytest.mark.parametrize(
    "grant",
    [
        "authorization_code",
        "implicit",
        "password",
        "refresh_token",
        "urn:ietf:params:oauth:grant-type:device_code",
    ],
)
def test_a_grant_that_only_a_user_gives(grant: str) -> None:
    assert kind() is None
    assert kind(gty=grant) == "user"


@pytest.mark.parametrize("grant", ["client-credentials", "client_credentials"])
def test_a_grant_that_an_application_has_for_itself(grant: str) -> None:
    assert kind(gty=grant) == "application"


def test_a_sign_that_tells_nothing_leaves_the_others_as_they_are() -> None:
    assert kind(auth_time=1, gty="other") == "user"
    assert kind(auth_time=1, sub_profile="other") == "user"
    assert kind(gty="client_credentials", sub_profile="other") == "application"
    assert kind(gty="client_credentials", sub="an-application-of-mine") == "application"
    assert kind("auth0", gty="password", sub="someone") == "user"


def test_signs_that_contradict_each_other_tell_nothing() -> None:
    assert kind(auth_time=1, gty="client_credentials") is None
    assert kind(gty="password", sub="an-application") is None


def test_a_subject_without_a_client_is_compared_with_none() -> None:
    claims = without(accepted_claims(sub="someone"), "azp")

    assert facts.read("oidc", {}, claims).kind is None


def test_the_claims_that_a_dialect_requires_are_enough() -> None:
    assert facts.read("rfc9068", {}, without(rfc9068_claims(), "scope")).scopes == frozenset()


def test_what_a_payload_does_not_say_is_left_open() -> None:
    read = facts.read("oidc", {"kid": 7, "typ": 7}, without(accepted_claims(), "iss"))

    assert (read.issuer, read.key_id, read.algorithm) == ("", None, "RS256")
