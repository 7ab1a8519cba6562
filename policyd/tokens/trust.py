"""Whom to believe, and within which limits: issuers at work, and what else judges a token.

Input: settings and what was opened by them. Output: a `Trust`, immutable, so that a token is
judged by one configuration and never by half of each.
"""

from __future__ import annotations

from collections.abc import Mapping

import msgspec

from policyd.tokens.algorithms import canonical_algorithm
from policyd.tokens.introspection.introspector import Introspector
from policyd.tokens.keys.source import KeySource
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.revocation.revocations import NOTHING_REVOKED, Revocations
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.userinfo import Userinfo


class Issuer(msgspec.Struct, frozen=True, eq=False):
    """A configured issuer at work: its settings, its dialect's row, its keys, and whom to ask."""

    settings: IssuerSettings
    dialect: Dialect
    algorithms: frozenset[str]
    keys: KeySource
    introspector: Introspector | None = None
    userinfo: Userinfo | None = None


def issuer_of(
    settings: IssuerSettings,
    keys: KeySource,
    introspector: Introspector | None = None,
    userinfo: Userinfo | None = None,
) -> Issuer:
    """Put an issuer together."""
    return Issuer(
        settings=settings,
        dialect=settings.dialect_row,
        algorithms=frozenset(map(canonical_algorithm, settings.algorithms)),
        keys=keys,
        introspector=introspector,
        userinfo=userinfo,
    )


class Trust(msgspec.Struct, frozen=True, eq=False, kw_only=True):
    """Whom to believe, and within which limits: the same for every token, until configured anew.

    `issuers` are by name.
    """

    issuers: Mapping[str, Issuer]
    max_token_bytes: int
    constraints: SenderConstraints
    revocations: Revocations = NOTHING_REVOKED
