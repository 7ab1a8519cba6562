"""Whom a token is for."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.claims.audiences import check_audience, read_audience
from policyd.tokens.model import ResourceServer
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.settings.dialect_table import DIALECTS
from tests.support.tokens import AUDIENCE, CLIENT, HEALTH, USERINFO, settings

OIDC = DIALECTS["oidc"]


def verdict(aud: Json, api: ResourceServer = HEALTH, *, single: bool = False) -> str:
    try:
        check_audience(read_audience({"aud": aud}, OIDC), settings(single_audience=single), api)
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
        read_audience({}, OIDC)

    assert caught.value.reason == "CLAIM_MISSING"


def test_the_detail_lists_a_few_of_many() -> None:
    with pytest.raises(TokenRefused, match="'a', 'b', 'c' and 1 more"):
        check_audience(read_audience({"aud": ["a", "b", "c", "d"]}, OIDC), settings(), HEALTH)


# --- tokens without `aud`, which cognito alone may send -----------------------------------------

COGNITO = DIALECTS["cognito"]
GRANTED = f"openid {AUDIENCE}/patients.read"


def granted(
    scope: Json = GRANTED, client: Json = CLIENT, api: ResourceServer = HEALTH, **claims: Json
) -> str:
    """Return what becomes of a token without `aud` for an API that knows `CLIENT`."""
    of = settings(
        dialect="cognito", clients={"health": frozenset((CLIENT,))}, single_audience="one" in claims
    )
    given = {"scope": scope, "client_id": client}
    payload: dict[str, Json] = {name: value for name, value in given.items() if value is not None}
    if "aud" in claims:
        payload["aud"] = claims["aud"]
    try:
        check_audience(read_audience(payload, COGNITO), of, api)
    except TokenRefused as refusal:
        return refusal.reason
    return "accepted"


def test_a_token_without_aud_is_for_the_api_whose_scope_it_has_if_that_knows_its_application() -> (
    None
):
    assert granted() == "accepted"
    assert granted(client="another") == "AUDIENCE_MISMATCH"
    assert granted(scope="openid") == "AUDIENCE_MISMATCH"
    assert granted(api=ResourceServer("other", HEALTH.audiences)) == "AUDIENCE_MISMATCH"


@pytest.mark.parametrize("dialect", sorted(set(DIALECTS) - {"cognito"}))
def test_no_other_dialect_may_lack_it(dialect: str) -> None:
    with pytest.raises(TokenRefused) as caught:
        read_audience({"scope": GRANTED, "client_id": CLIENT}, DIALECTS[dialect])

    assert caught.value.reason == "CLAIM_MISSING"


@pytest.mark.parametrize(
    ("scope", "expected"),
    [
        (f"{AUDIENCE}/read", "accepted"),
        (f"other/read {AUDIENCE}/read", "accepted"),
        (AUDIENCE, "AUDIENCE_MISMATCH"),
        (f"{AUDIENCE}read", "AUDIENCE_MISMATCH"),
        (f"{AUDIENCE}-too/read", "AUDIENCE_MISMATCH"),
        (f"{AUDIENCE}/nested/read", "AUDIENCE_MISMATCH"),
        (f"x{AUDIENCE}/read", "AUDIENCE_MISMATCH"),
        (f"{AUDIENCE.upper()}/read", "AUDIENCE_MISMATCH"),
        ("/read", "AUDIENCE_MISMATCH"),
        ("", "AUDIENCE_MISMATCH"),
        (None, "AUDIENCE_MISMATCH"),
        ([f"{AUDIENCE}/read"], "CLAIM_INVALID"),
        (f"{AUDIENCE}/read\u00a0x", "CLAIM_INVALID"),
    ],
)
def test_a_scope_is_of_the_resource_server_before_its_last_slash(
    scope: Json, expected: str
) -> None:
    assert granted(scope=scope) == expected


@pytest.mark.parametrize("client", ["", None, 7, [CLIENT]])
def test_without_aud_an_application_must_be_named(client: Json) -> None:
    assert granted(client=client) == "CLAIM_MISSING"


@pytest.mark.parametrize("reserved", ["account", USERINFO])
def test_reserved_names_are_no_resource_server_either(reserved: str) -> None:
    api = ResourceServer("health", frozenset((reserved,)))

    assert granted(scope=f"{reserved}/read", api=api) == "AUDIENCE_MISMATCH"


def test_where_aud_is_there_it_alone_counts() -> None:
    assert granted(client="another", aud=AUDIENCE) == "accepted"
    assert granted(aud="https://other.example") == "AUDIENCE_MISMATCH"
    assert granted(aud=[]) == "AUDIENCE_MISMATCH"
    assert granted(aud=None) == "CLAIM_INVALID"


def test_a_single_audience_is_a_single_resource_server() -> None:
    assert granted(one=True) == "accepted"
    assert granted(scope=f"{AUDIENCE}/a {AUDIENCE}/b", one=True) == "accepted"
    assert granted(scope=f"{AUDIENCE}/a other/b", one=True) == "AUDIENCE_MISMATCH"


@pytest.mark.parametrize(
    ("scope", "client", "detail"),
    [
        (GRANTED, "another", "'another' is not one of"),
        ("openid", CLIENT, "no scope of any API"),
        ("other/read", CLIENT, "scopes of 'other'"),
    ],
)
def test_the_detail_says_what_is_amiss(scope: str, client: str, detail: str) -> None:
    of = settings(dialect="cognito", clients={"health": frozenset((CLIENT,))})

    with pytest.raises(TokenRefused, match=detail):
        check_audience(read_audience({"scope": scope, "client_id": client}, COGNITO), of, HEALTH)
