"""Access tokens as each dialect writes them, for `policyd token mint` and tests.

Input: what a token is to say. Output: the header's additions and the payload. Nothing here is used
to verify.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from policyd.json_types import Json
from policyd.tokens.claims.facts import SUBJECT_SEPARATOR
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuer_names import tenants_of

#: What stands in each token of a dialect, beside what its row tells.
_CONSTANT: Final[Mapping[str, Mapping[str, Json]]] = {
    "okta": {"ver": 1},
    "entra": {"ver": "2.0", "azpacr": "1"},
    "keycloak": {"typ": "Bearer"},
    "cognito": {"token_use": "access", "version": 2},
    "kubernetes": {"kubernetes.io": {"namespace": "default"}},
}
#: The tenant of a development token that names none, and whose issuer names none.
_NO_TENANT: Final = "00000000-0000-0000-0000-000000000000"


class AccessToken(msgspec.Struct, frozen=True, kw_only=True):
    """What a token is to say. Times are whole seconds since the epoch.

    A `subject` that is the client is a machine's; with `entra` it may be TENANT/OBJECT.
    """

    issuer: str
    subject: str
    client: str
    audiences: tuple[str, ...]
    scopes: tuple[str, ...]
    issued_at: int
    expires_at: int
    token_id: str


def write(dialect: str, token: AccessToken) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return the header's additions, and the payload, as one of policyd's dialects writes them."""
    row = DIALECTS[dialect]
    claims: dict[str, Json] = {
        "iss": token.issuer,
        "aud": [*token.audiences] if len(token.audiences) > 1 else token.audiences[0],
        "iat": token.issued_at,
        "exp": token.expires_at,
        row.token_id: token.token_id,
        row.client[0]: token.client,
        **_subject(row, token),
        **_CONSTANT.get(dialect, {}),
    }
    if dialect == "cognito" and token.subject != token.client:
        claims["username"] = token.subject
    if token.scopes or dialect != "entra":  # without them Entra leaves the claim out
        listed = row.scope_form == "list"
        claims[row.scope] = [*token.scopes] if listed else " ".join(token.scopes)
    return ({"typ": "at+jwt"} if row.at_jwt else {}), claims


def _subject(row: Dialect, token: AccessToken) -> dict[str, Json]:
    claims: dict[str, Json] = {"sub": token.subject}
    way = row.subject[0]
    if len(way) == 1:
        if token.subject != token.client:
            claims[way[0]] = token.subject
        return claims
    first, joint, last = token.subject.rpartition(SUBJECT_SEPARATOR)
    tenant = first if joint else next(iter(tenants_of(token.issuer)), _NO_TENANT)
    claims |= {way[0]: tenant, way[-1]: last, "sub": last}
    return claims
