"""Revocations for tests: entries, and tokens as lists see them."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.json_types import Json
from policyd.tokens.model import VerifiedToken, new_memo
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.revocation.model import Revocation, RevocationKind
from policyd.tokens.revocation.revocations import Revocations
from tests.support.tokens import ISSUER, NOW

FAR = int(NOW) + 30 * 86_400


def revoked_token(
    jti: str = "token-1", *, issuer: str = ISSUER, until: int = FAR, reason: str = ""
) -> Revocation:
    """Return the revocation of one token."""
    return Revocation(issuer, RevocationKind.TOKEN, jti, until, None, reason)


def revoked(
    kind: RevocationKind,
    value: str,
    issued_before: int = int(NOW),
    *,
    issuer: str = ISSUER,
    until: int = FAR,
    reason: str = "",
) -> Revocation:
    """Return the revocation of everything that was issued to somebody before a time."""
    return Revocation(issuer, kind, value, until, issued_before, reason)


def seen(
    jti: str | None = None,
    *,
    issuer: str = ISSUER,
    subject: str | None = None,
    client: str | None = None,
    issued_at: int | None = int(NOW) - 60,
    claims: Mapping[str, Json] | None = None,
) -> VerifiedToken:
    """Return a verified token."""
    return VerifiedToken(
        issuer=issuer,
        subject=subject,
        client=client,
        kind=None,
        scopes=frozenset(),
        permissions=frozenset(),
        audience=frozenset(),
        actor=None,
        issued_at=issued_at,
        not_before=None,
        expires_at=FAR,
        token_id=jti,
        key_id=None,
        algorithm="RS256",
        claims=claims or {},
        memo=new_memo(),
    )


def answer(revocations: Revocations, token: VerifiedToken, now: float = NOW) -> str:
    """Return the reason for which a token is refused, `""` when it is not."""
    try:
        revocations.check(token, now)
    except TokenRefused as refusal:
        return refusal.reason
    return ""
