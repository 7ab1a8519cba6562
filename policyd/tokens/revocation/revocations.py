"""What was revoked, as the pipeline sees it: one question, answered from memory.

`revocation_list.RevocationList` answers it from the entries of one source, `CombinedRevocations`
from several.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, Protocol

from policyd.tokens.model import VerifiedToken


class Revocations(Protocol):
    """Knows which tokens were revoked. Asked at every use of a token, from several threads."""

    def check(self, token: VerifiedToken, now: float) -> None:
        """Check that the token was not revoked. Waits for nothing.

        Raises `TokenRevoked`, or `RevocationsUnavailable` where nobody can tell.
        """


class _NothingRevoked:
    def check(self, token: VerifiedToken, now: float) -> None:
        pass


NOTHING_REVOKED: Final[Revocations] = _NothingRevoked()


class CombinedRevocations:
    """Several lists as one: a token is good where none of them speaks against it."""

    def __init__(self, lists: Iterable[Revocations]) -> None:
        self._lists = tuple(lists)

    def check(self, token: VerifiedToken, now: float) -> None:
        """Ask each list, in order."""
        for one in self._lists:
            one.check(token, now)
