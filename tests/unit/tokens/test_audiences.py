"""Whom a token is for."""

from __future__ import annotations

import pytest

from policyd.tokens.audiences import check_audience, read_audience
from policyd.tokens.model import Json, ResourceServer
from policyd.tokens.refusals import TokenRefused
from tests.support.tokens import AUDIENCE, HEALTH, USERINFO, settings


def verdict(aud: Json, api: ResourceServer = HEALTH, *, single: bool = False) -> str:
    try:
        check_audience(read_audience({"aud": aud}), settings(single_audience=single), api)
    except TokenRefused as refusal:
        return refusal.reason
    return "accepted"


@pytest.mark.parametrize(
    ("aud", "expected"),
    [
        (AUDIENCE, "accepted"),
        ([AUDIENCE], "accepted"),
        (["https://other.example", AUDIENCE], "accepted"),
        ([AUDIENCE, USERINFO], "accepted"),
        ([AUDIENCE, AUDIENCE], "accepted"),
        ("https://other.example", "AUDIENCE_MISMATCH"),
        (AUDIENCE + "/", "AUDIENCE_MISMATCH"),
        (AUDIENCE.upper(), "AUDIENCE_MISMATCH"),
        (AUDIENCE[:-1], "AUDIENCE_MISMATCH"),
        (AUDIENCE + " x", "AUDIENCE_MISMATCH"),
        ("", "AUDIENCE_MISMATCH"),
        ([], "AUDIENCE_MISMATCH"),
        (["a", "b", "c", "d"], "AUDIENCE_MISMATCH"),
        ([[AUDIENCE]], "CLAIM_INVALID"),
        ([AUDIENCE, 7], "CLAIM_INVALID"),
        (None, "CLAIM_INVALID"),
        ({"aud": AUDIENCE}, "CLAIM_INVALID"),
        (True, "CLAIM_INVALID"),
    ],
)
def test_the_audience_is_one_of_the_apis_character_for_character(aud: Json, expected: str) -> None:
    assert verdict(aud) == expected


@pytest.mark.parametrize("reserved", ["account", USERINFO])
def test_what_every_token_may_hold_is_no_apis_audience(reserved: str) -> None:
    api = ResourceServer("careless", frozenset((reserved,)))

    assert verdict(reserved, api) == "AUDIENCE_MISMATCH"


@pytest.mark.parametrize(
    ("aud", "expected"),
    [
        (AUDIENCE, "accepted"),
        ([AUDIENCE, AUDIENCE], "accepted"),
        ([AUDIENCE, USERINFO], "accepted"),
        ([AUDIENCE, "account"], "AUDIENCE_MISMATCH"),
        ([AUDIENCE, "https://other.example"], "AUDIENCE_MISMATCH"),
    ],
)
def test_a_single_audience_can_be_demanded(aud: Json, expected: str) -> None:
    assert verdict(aud, single=True) == expected


def test_an_audience_is_mandatory() -> None:
    with pytest.raises(TokenRefused) as caught:
        read_audience({})

    assert caught.value.reason == "CLAIM_MISSING"


def test_the_detail_lists_a_few_of_many() -> None:
    with pytest.raises(TokenRefused, match="'a', 'b', 'c' and 1 more"):
        check_audience(read_audience({"aud": ["a", "b", "c", "d"]}), settings(), HEALTH)
