"""A subject that an enforcement point asserts, as what is known of a token.

Where a gateway has validated the token itself and passes on whom it names, there is no token to
verify: what rules read of one is what the gateway says. Which gateways may, and for which APIs, is
the daemon's configuration.
"""

from __future__ import annotations

from typing import Final

from policyd.decision.model import Asserted
from policyd.tokens.model import ResourceServer, VerifiedToken, new_memo

#: Seconds for which an assertion counts as a token would; answers are kept for less.
_LIFE: Final = 60
_ALGORITHM: Final = "none: asserted"


def asserted_token(claim: Asserted, server: ResourceServer, now: int) -> VerifiedToken:
    """Return the token that an asserted subject stands for, at a time in seconds."""
    return VerifiedToken(
        issuer=claim.issuer,
        subject=claim.subject,
        client=None,
        kind=claim.kind,
        scopes=frozenset(claim.scopes),
        permissions=frozenset(),
        audience=server.audiences,
        actor=None,
        issued_at=None,
        not_before=None,
        expires_at=now + _LIFE,
        token_id=None,
        key_id=None,
        algorithm=_ALGORITHM,
        claims=claim.claims,
        memo=new_memo(),
    )
