"""Attacks by issuers: names that are nearly right, and an issuer that speaks for another."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.keys.source import FixedKeys
from tests.support.tokens import (
    AUDIENCE,
    BILLING,
    HEALTH,
    ISSUER,
    accepted_claims,
    issuer,
    key,
    key_set,
    reason,
    token,
    validator,
    verify,
    without,
)


@pytest.mark.parametrize(
    "name",
    [
        ISSUER.removesuffix("/"),
        ISSUER + "/",
        ISSUER + "x",
        ISSUER[:-2],
        ISSUER[0],
        ISSUER.upper(),
        ISSUER.replace("https", "http"),
        ISSUER.replace("my-domain", "my-domain.auth0.com.evil"),
        ISSUER + " ",
        "\ufeff" + ISSUER,
        "",
        [ISSUER],
        {"iss": ISSUER},
        7,
        None,
        True,
    ],
)
def test_an_issuer_that_is_nearly_the_configured_one(name: Json) -> None:
    """CVE-2024-53861 (GHSA-75c5-xw7c-p5pm): part of an issuer's name is not the issuer."""
    assert reason(token(accepted_claims(iss=name))) == "ISSUER_UNKNOWN"


def test_a_token_without_issuer() -> None:
    assert reason(token(without(accepted_claims(), "iss"))) == "ISSUER_UNKNOWN"


def test_a_second_issuer_minting_for_an_api_that_is_not_its_own() -> None:
    other = "https://partner.example/"
    partner = issuer(
        FixedKeys(key_set(key(name="partner"))), issuer=other, apis=frozenset(("billing",))
    )
    of = validator(issuer(apis=frozenset(("health", "billing"))), partner)
    audiences: list[Json] = [AUDIENCE, *BILLING.audiences]
    text = token(accepted_claims(iss=other, aud=audiences), by=key(name="partner"))

    assert verify(text, of, BILLING).issuer == other
    assert reason(text, of, HEALTH) == "ISSUER_UNKNOWN"


def test_a_second_issuer_speaking_in_the_name_of_the_first() -> None:
    speaks = frozenset(("health",))
    partner = issuer(
        FixedKeys(key_set(key(name="partner"))), issuer="https://partner.example/", apis=speaks
    )
    of = validator(issuer(apis=speaks), partner)

    assert verify(token(), of).issuer == ISSUER
    assert reason(token(by=key(name="partner")), of) == "KEY_UNKNOWN"
