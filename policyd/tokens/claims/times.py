"""The three times of a token: read from its claims, and compared with the clock.

Reading is done once; comparing at every use, also of a remembered token.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from typing import Final

import msgspec

from policyd.json_types import Json
from policyd.tokens.details import marked, quote
from policyd.tokens.refusals import ClaimInvalid, ClaimMissing, TokenExpired, TokenNotYetValid
from policyd.tokens.settings.issuers import IssuerSettings

# 9999-12-31T23:59:59Z, the last second that RFC 3339 can write.
LATEST: Final = 253_402_300_799


class Times(msgspec.Struct, frozen=True, gc=False):
    """Whole seconds since the epoch. A fraction is cut, that of `not_before` rounded up: each to
    the side on which the token lives shorter."""

    issued_at: int | None
    not_before: int | None
    expires_at: int


def read_times(claims: Mapping[str, Json]) -> Times:
    """Read `iat`, `nbf`, `exp` (RFC 7519, section 4.1). Raises `ClaimMissing`, `ClaimInvalid`."""
    if "exp" not in claims:
        raise ClaimMissing("the token has no `exp`: one that never expires is not accepted")
    issued_at = _numeric_date("iat", claims["iat"], math.floor) if "iat" in claims else None
    not_before = _numeric_date("nbf", claims["nbf"], math.ceil) if "nbf" in claims else None
    return Times(issued_at, not_before, _numeric_date("exp", claims["exp"], math.floor))


def check_times(times: Times, settings: IssuerSettings, now: float) -> None:
    """Compare with the clock. Raises `TokenExpired`, `TokenNotYetValid`, `ClaimMissing`.

    `settings.leeway` is granted to all three, and none to `max_token_age`.
    """
    leeway = settings.leeway
    if now >= times.expires_at + leeway:
        raise TokenExpired(
            f"`exp` is {_told('exp', times.expires_at, now - times.expires_at)} ago "
            f"(leeway {leeway} s); the client has to fetch a new token"
        )
    if times.not_before is not None and times.not_before > now + leeway:
        raise TokenNotYetValid(
            f"`nbf` is {_told('nbf', times.not_before, times.not_before - now)} ahead "
            f"(leeway {leeway} s); check the clocks"
        )
    if times.issued_at is not None and times.issued_at > now + leeway:
        raise TokenNotYetValid(
            f"`iat` is {_told('iat', times.issued_at, times.issued_at - now)} ahead "
            f"(leeway {leeway} s); check the clocks"
        )
    if settings.max_token_age is not None:
        _check_age(times.issued_at, settings.max_token_age, now)


def surely_valid(times: Times, settings: IssuerSettings) -> tuple[float, float]:
    """Return a start and an end: from the one on and before the other, `check_times` passes.

    Outside it may pass as well, at the very second of `max_token_age` for one.
    """
    issued_at, not_before, longest = times.issued_at, times.not_before, settings.max_token_age
    start, end = 0, times.expires_at + settings.leeway
    if issued_at is not None:
        start = issued_at
        if longest is not None and issued_at + longest < end:
            end = issued_at + longest
    elif longest is not None:
        return 0, 0
    if not_before is not None and not_before > start:
        start = not_before
    return start - settings.leeway, end


def _check_age(issued_at: int | None, longest: int, now: float) -> None:
    if issued_at is None:
        raise ClaimMissing("the token has no `iat`, which `max_token_age` needs")
    if now - issued_at > longest:
        raise TokenExpired(
            f"the token was issued {marked(_seconds(now - issued_at), 'iat')} ago, "
            f"`max_token_age` is {longest} s; the client has to fetch a new one"
        )


def _numeric_date(name: str, value: Json, whole: Callable[[float], int]) -> int:
    # By type, not by isinstance: a bool is an int to Python and none to JSON.
    if type(value) is not int and type(value) is not float:
        raise ClaimInvalid(f"`{name}` must be a number of seconds, found {quote(value, name)}")
    if not 0 <= value <= LATEST:
        raise ClaimInvalid(f"`{name}` must lie from 0 to {LATEST}, found {quote(value, name)}")
    return value if type(value) is int else whole(value)


def _told(name: str, moment: int, span: float) -> str:
    return marked(f"{moment}, {_seconds(span)}", name)


def _seconds(span: float) -> str:
    return f"{span:.0f} s"


def utc(seconds: int) -> str:
    """Return a time from 0 to `LATEST` as people read it: RFC 3339, in UTC."""
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
