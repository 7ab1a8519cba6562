"""The possible answers to a recorded question."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from typing import Literal as OneOf

import msgspec

#: The token may be refused, and the request may be the caller's mistake.
Outcome = OneOf["allow", "deny", "refused", "mistake"]
#: The names of the answers in reports.
SAID: Final[dict[Outcome, str]] = {
    "allow": "allowed",
    "deny": "denied",
    "refused": "refused as a token",
    "mistake": "the caller's mistake",
}


class Outcomes(msgspec.Struct, frozen=True, gc=False):
    """The possible answers; one if it is certain.

    `rules` are those that decide, if the answer is certain. `facts` are the open facts on which it
    depends.
    """

    each: frozenset[Outcome]
    rules: Sequence[str] = ()
    facts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The answers, as reports name them."""
        return " or ".join(SAID[one] for one in SAID if one in self.each)


ALLOW: Final[frozenset[Outcome]] = frozenset({"allow"})
DENY: Final[frozenset[Outcome]] = frozenset({"deny"})
REFUSED: Final = Outcomes(frozenset({"refused"}))
MISTAKE: Final = Outcomes(frozenset({"mistake"}))


def either(each: Iterable[Outcome], facts: Iterable[str]) -> Outcomes:
    """Combine several answers and the facts on which they depend."""
    return Outcomes(frozenset(each), (), tuple(sorted(facts)))
