"""What was revoked, as the pipeline sees it: one question, answered from memory."""

from __future__ import annotations

from typing import Final, Protocol

from policyd.tokens.model import VerifiedToken


class Revocations(Protocol):
    """Knows which tokens were revoked. Asked at every use of a token, from several threads."""

    def check(self, token: VerifiedToken, now: float) -> None:
        """Check that the token was not revoked. Waits for nothing. Raises `TokenRevoked`."""


class _NothingRevoked:
    def check(self, token: VerifiedToken, now: float) -> None:
        pass


NOTHING_REVOKED: Final[Revocations] = _NothingRevoked()
