"""Whom a token was issued for: `aud` read, and compared with an API's audiences."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final

import msgspec

from policyd.tokens.issuers import IssuerSettings
from policyd.tokens.model import Json, ResourceServer
from policyd.tokens.refusals import AudienceMismatch, ClaimInvalid, ClaimMissing, shown

_USERINFO: Final = "/userinfo"
# Keycloak puts its own account console into the audience of nearly every token.
_ACCOUNT: Final = "account"


class Audience(msgspec.Struct, frozen=True, gc=False):
    """`named` is `aud` as a set; `apis` those that can be an API's audience."""

    named: frozenset[str]
    apis: frozenset[str]


def read_audience(claims: Mapping[str, Json]) -> Audience:
    """Read `aud` (RFC 7519, section 4.1.3). Raises `ClaimMissing`, `ClaimInvalid`."""
    if "aud" not in claims:
        raise ClaimMissing("the token has no `aud`: it was issued for nobody in particular")
    value = claims["aud"]
    named: list[str] = []
    for name in value if isinstance(value, list) else (value,):
        if not isinstance(name, str):
            raise ClaimInvalid(f"`aud` must be text or a list of texts, found {shown(value)}")
        named.append(name)
    return _audience(tuple(named))


@lru_cache(maxsize=256)
def _audience(named: tuple[str, ...]) -> Audience:
    """Return the same object for the same names: many tokens share few audiences."""
    apis = [name for name in named if name != _ACCOUNT and not name.endswith(_USERINFO)]
    return Audience(frozenset(named), frozenset(apis))


def check_audience(audience: Audience, settings: IssuerSettings, api: ResourceServer) -> None:
    """Check that the token is for `api` (RFC 9068, section 4). Raises `AudienceMismatch`."""
    if audience.apis.isdisjoint(api.audiences):
        raise AudienceMismatch(
            f"the token is for {_listed(audience.named)}, "
            f"the API {shown(api.name)} is {_listed(api.audiences)}"
        )
    if settings.single_audience:
        meant = [name for name in audience.named if not name.endswith(_USERINFO)]
        if len(meant) > 1:
            raise AudienceMismatch(
                f"the token is for {_listed(audience.named)}, and `single_audience` is set"
            )


def _listed(names: frozenset[str]) -> str:
    if not names:
        return "no audience"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    return ", ".join(shown(name) for name in sorted(names)[:3]) + more
