"""Whom a token was issued for: `aud` read, and compared with an API's audiences."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import lru_cache
from typing import Final

import msgspec

from policyd.json_types import Json
from policyd.tokens.claims.scopes import read_scopes
from policyd.tokens.details import configured, quote
from policyd.tokens.model import ResourceServer
from policyd.tokens.refusals import AudienceMismatch, ClaimInvalid, ClaimMissing
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.issuers import IssuerSettings

_USERINFO: Final = "/userinfo"
# Keycloak puts its own account console into the audience of nearly every token.
_ACCOUNT: Final = "account"
_NOBODY: Final[frozenset[str]] = frozenset()


class Audience(msgspec.Struct, frozen=True, gc=False):
    """`named` is `aud` as a set; `apis` those that can be an API's audience.

    Where a token has no `aud` and its dialect lets it, `apis` are the resource servers whose scopes
    it was granted, and `client` is the application, which such an API must know.
    """

    named: frozenset[str]
    apis: frozenset[str]
    client: str | None = None


def read_audience(claims: Mapping[str, Json], dialect: Dialect) -> Audience:
    """Read `aud` (RFC 7519, section 4.1.3). Raises `ClaimMissing`, `ClaimInvalid`."""
    if "aud" not in claims:
        if dialect.audience_by_client:
            return _granted_audience(claims, dialect)
        raise ClaimMissing("the token has no `aud`: it names no API")
    value = claims["aud"]
    named: list[str] = []
    for name in value if isinstance(value, list) else (value,):
        if not isinstance(name, str):
            raise ClaimInvalid(
                f"`aud` must be text or a list of texts, found {quote(value, 'aud')}"
            )
        named.append(name)
    return _audience(tuple(named))


@lru_cache(maxsize=256)
def _audience(named: tuple[str, ...]) -> Audience:
    """Return the same object for the same names: many tokens share few audiences."""
    return Audience(frozenset(named), _possible(named))


def _possible(named: Iterable[str]) -> frozenset[str]:
    return frozenset(name for name in named if name != _ACCOUNT and not name.endswith(_USERINFO))


def _granted_audience(claims: Mapping[str, Json], dialect: Dialect) -> Audience:
    """Tell from scopes whom a token without `aud` is for.

    A scope is written SERVER/NAME, and a name holds no slash: so SERVER is what stands before the
    last one, and an API whose audience merely begins like another's gains nothing.
    """
    client = next((claims[name] for name in dialect.client if name in claims), None)
    if not isinstance(client, str) or not client:
        raise ClaimMissing("the token has no `aud`, and names no application either")
    servers = (scope.rpartition("/")[0] for scope in read_scopes(dialect, claims))
    return Audience(_NOBODY, _possible(filter(None, servers)), client)


def check_audience(audience: Audience, settings: IssuerSettings, api: ResourceServer) -> None:
    """Check that the token is for `api` (RFC 9068, section 4). Raises `AudienceMismatch`."""
    if audience.apis.isdisjoint(api.audiences):
        called = f"the audience of {configured(api.name)}" if api.name else "the audience asked for"
        raise AudienceMismatch(f"{_told_audience(audience)}, {called} is {_listed(api.audiences)}")
    if audience.client is not None and audience.client not in settings.clients.get(
        api.name, _NOBODY
    ):
        raise AudienceMismatch(
            "the token has no `aud`, and its application "
            f"{quote(audience.client, 'token.client')} is not one of those that the "
            f"issuer's `clients` name for the API {configured(api.name)}"
        )
    if settings.single_audience:
        meant = audience.named or audience.apis
        if sum(not name.endswith(_USERINFO) for name in meant) > 1:
            raise AudienceMismatch(f"{_told_audience(audience)}, and `single_audience` is set")


def _told_audience(audience: Audience) -> str:
    if audience.client is None:
        return f"the token is for {_listed(audience.named, 'aud')}"
    if not audience.apis:
        return "the token has no `aud`, and no scope of any API"
    return f"the token has no `aud`, and scopes of {_listed(audience.apis, 'token.scopes')}"


def _listed(names: frozenset[str], *claims: str) -> str:
    """Name the first of them: values of these claims, or what is configured."""
    if not names:
        return "no audience"
    more = f" and {len(names) - 3} more" if len(names) > 3 else ""
    first = sorted(names)[:3]
    return ", ".join(quote(one, *claims) if claims else configured(one) for one in first) + more
