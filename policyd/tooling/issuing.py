"""How the issuers of a configuration write tokens, and claims of real tokens of theirs.

A test says `token from DIALECT { … }`. Without a configuration, that is a token of an issuer with
default settings. This module imports nothing that verifies signatures.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from policyd.errors import PolicydError
from policyd.json_types import Json

if TYPE_CHECKING:
    from policyd.tokens.settings.issuers import IssuerSettings

#: Claims that say when a token is valid: a token that was issued once is not valid in a test.
_TIMES = ("iat", "exp", "nbf")


class ClaimsOfNobody(PolicydError):
    """Nothing says how the issuer of some claims writes tokens. The text says what to do."""


class Issuing(msgspec.Struct, frozen=True):
    """The settings of the configured issuers, in order, and the claims of a real token by the name
    of its dialect."""

    issuers: tuple[IssuerSettings, ...] = ()
    claims: Mapping[str, Mapping[str, Json]] = {}

    def of(self, dialect: str, api: str) -> IssuerSettings | None:
        """Return the settings of the issuer of a dialect's tokens for an API: that of the real
        token, else the first."""
        found = [
            one
            for one in self.issuers
            if one.dialect == dialect and (one.apis is None or api in one.apis)
        ]
        real = self.claims.get(dialect, {}).get("iss")
        return next((one for one in found if one.issuer == real), found[0] if found else None)

    def lasting(self, dialect: str) -> Mapping[str, Json]:
        """Return the claims of a dialect's real token but those that say when it is valid."""
        claims = self.claims.get(dialect, {})
        return {name: claim for name, claim in claims.items() if name not in _TIMES}


def dialect_of(claims: Mapping[str, Json], issuers: tuple[IssuerSettings, ...]) -> str | None:
    """Return the dialect of the configured issuer that claims name, if there is one."""
    return next((one.dialect for one in issuers if one.issuer == claims.get("iss")), None)
