"""One revocation: whose tokens, of which issuer, no longer count.

Revocations only ever add up. Two about the same thing merge into one that revokes what either does,
whatever their order and however often they arrive, so that copies of a list in many processes agree
without agreeing on an order.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Final

import msgspec

from policyd.errors import PolicydError

#: The last second of the year 9999, as for the times in a token.
LATEST: Final = 253_402_300_799
LONGEST_VALUE: Final = 1024
LONGEST_ISSUER: Final = 2048
LONGEST_REASON: Final = 500


class InvalidRevocation(PolicydError):
    """A revocation is contradictory or incomplete."""


class RevocationKind(StrEnum):
    """What a revocation names. The value is its name in files, in Redis and in metrics."""

    TOKEN = "jti"
    SUBJECT = "subject"
    CLIENT = "client"
    SESSION = "session"
    ORGANISATION = "organisation"


class Revocation(msgspec.Struct, frozen=True, gc=False):
    """One entry of a list. Times are whole seconds since the epoch.

    `issuer` is the `iss` of the tokens meant, in every character; `value` is what `kind` names:
    one token's id, or a subject, client, session or organisation. Of these, tokens issued before
    `issued_before` are revoked; for one token it is `None`. After `until` all tokens meant have
    expired, so that the entry may be forgotten. `reason` is for the log alone.

    Raises `InvalidRevocation`.
    """

    issuer: str
    kind: RevocationKind
    value: str
    until: int
    issued_before: int | None = None
    reason: str = ""

    def __post_init__(self) -> None:
        if not 0 < len(self.issuer) <= LONGEST_ISSUER:
            raise InvalidRevocation(f"`issuer` must have 1 to {LONGEST_ISSUER} characters")
        if not 0 < len(self.value) <= LONGEST_VALUE:
            raise InvalidRevocation(f"`{self.kind}` must have 1 to {LONGEST_VALUE} characters")
        if len(self.reason) > LONGEST_REASON:
            raise InvalidRevocation(f"`reason` must not have more than {LONGEST_REASON} characters")
        if not 0 <= self.until <= LATEST:
            raise InvalidRevocation(f"`until` must lie from 0 to {LATEST}")
        if self.kind is RevocationKind.TOKEN:
            if self.issued_before is not None:
                raise InvalidRevocation("`issued_before` is not for a `jti`, which is one token")
        elif self.issued_before is None:
            raise InvalidRevocation(f"a `{self.kind}` needs `issued_before` beside it")
        elif not 0 <= self.issued_before <= LATEST:
            raise InvalidRevocation(f"`issued_before` must lie from 0 to {LATEST}")

    def revokes(self, issued_at: int | None) -> bool:
        """Tell whether a token that this names is revoked. One that hides its age is."""
        return self.issued_before is None or issued_at is None or issued_at < self.issued_before


def merged(one: Revocation, other: Revocation) -> Revocation:
    """Return the revocation of what either revokes. Both are about the same thing.

    Commutative, associative and idempotent.
    """
    later = max(one, other, key=_rank)
    until = max(one.until, other.until)
    return later if later.until == until else msgspec.structs.replace(later, until=until)


def _rank(revocation: Revocation) -> tuple[int, str]:
    return (revocation.issued_before or 0, revocation.reason)
