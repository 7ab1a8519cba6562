"""The clock against `exp`, `nbf`, `iat` and `max_token_age`, at the very second."""

from __future__ import annotations

import pytest

from policyd.json_types import Json
from policyd.tokens.claims.times import LATEST, Times, check_times, read_times, surely_valid
from policyd.tokens.refusals import TokenRefused
from tests.support.tokens import settings

NOW = 1_000_000


def verdict(
    claims: dict[str, Json] | None = None,
    now: float = NOW,
    leeway: int = 30,
    max_age: int | None = None,
) -> str:
    try:
        times = read_times({"exp": NOW + 100, **(claims or {})})
        check_times(times, settings(leeway=leeway, max_token_age=max_age), now)
    except TokenRefused as refusal:
        return refusal.reason
    return "accepted"


@pytest.mark.parametrize(
    ("claims", "expected"),
    [
        ({"exp": NOW - 29}, "accepted"),
        ({"exp": NOW - 30}, "TOKEN_EXPIRED"),
        ({"exp": NOW - 29.5}, "TOKEN_EXPIRED"),
        ({"nbf": NOW + 30}, "accepted"),
        ({"nbf": NOW + 31}, "TOKEN_NOT_YET_VALID"),
        ({"nbf": NOW + 30.5}, "TOKEN_NOT_YET_VALID"),
        ({"iat": NOW + 30}, "accepted"),
        ({"iat": NOW + 31}, "TOKEN_NOT_YET_VALID"),
        ({"iat": 0, "nbf": 0}, "accepted"),
        ({"exp": LATEST}, "accepted"),
        ({"exp": LATEST + 1}, "CLAIM_INVALID"),
        ({"exp": -1}, "CLAIM_INVALID"),
        ({"exp": 0}, "TOKEN_EXPIRED"),
    ],
)
def test_the_leeway_is_granted_to_the_second(claims: dict[str, Json], expected: str) -> None:
    assert verdict(claims) == expected


def test_without_leeway_a_token_lives_until_its_very_expiry() -> None:
    assert verdict(now=NOW + 99.9, leeway=0) == "accepted"
    assert verdict(now=NOW + 100, leeway=0) == "TOKEN_EXPIRED"


@pytest.mark.parametrize("name", ["exp", "nbf", "iat"])
@pytest.mark.parametrize("value", ["1000100", True, None, [NOW], {}, "\u0661", LATEST + 0.5, -0.5])
def test_a_time_is_a_number_within_bounds(name: str, value: Json) -> None:
    assert verdict({name: value}) == "CLAIM_INVALID"


def test_a_token_must_expire() -> None:
    with pytest.raises(TokenRefused) as caught:
        read_times({"iat": NOW})

    assert caught.value.reason == "CLAIM_MISSING"


def test_the_age_of_a_token_is_bounded_without_leeway() -> None:
    assert verdict({"iat": NOW - 60}, max_age=60) == "accepted"
    assert verdict({"iat": NOW - 61}, max_age=60) == "TOKEN_EXPIRED"
    assert verdict(max_age=60) == "CLAIM_MISSING"


def test_fractions_never_make_a_token_live_longer() -> None:
    times = read_times({"exp": 10.9, "nbf": 5.1, "iat": 4.9})

    assert (times.expires_at, times.not_before, times.issued_at) == (10, 6, 4)


def test_the_detail_says_by_how_much_and_what_to_do() -> None:
    with pytest.raises(TokenRefused, match=r"`exp` is 999000, 1000 s ago \(leeway 30 s\)"):
        check_times(read_times({"exp": NOW - 1000}), settings(), NOW)


@pytest.mark.parametrize(
    ("times", "leeway", "max_age", "expected"),
    [
        (Times(None, None, 500), 30, None, (-30, 530)),
        (Times(100, None, 500), 30, None, (70, 530)),
        (Times(100, 200, 500), 30, None, (170, 530)),
        (Times(200, 100, 500), 0, None, (200, 500)),
        (Times(100, None, 500), 30, 300, (70, 400)),
        (Times(100, 200, 500), 30, 3000, (170, 530)),
        (Times(100, 600, 500), 0, None, (600, 500)),
    ],
)
def test_the_span_in_which_times_are_surely_valid(
    times: Times, leeway: int, max_age: int | None, expected: tuple[float, float]
) -> None:
    assert surely_valid(times, settings(leeway=leeway, max_token_age=max_age)) == expected


def test_without_the_iat_that_max_token_age_needs_no_time_is_surely_valid() -> None:
    start, end = surely_valid(Times(None, 100, 500), settings(max_token_age=300))

    assert start >= end
