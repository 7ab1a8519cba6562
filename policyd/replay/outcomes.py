"""What a recorded question may be answered."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final
from typing import Literal as OneOf

import msgspec

#: The token may be refused, and the request may be the caller's mistake.
Outcome = OneOf["allow", "deny", "refused", "mistake"]
#: What each answer is called where it is told to people.
SAID: Final[dict[Outcome, str]] = {
    "allow": "allowed",
    "deny": "denied",
    "refused": "refused as a token",
    "mistake": "the caller's mistake",
}


class Outcomes(msgspec.Struct, frozen=True, gc=False):
    """The answers that there may be, one where it is certain.

    `rules` are those that decide, where it is certain. `facts` are the open ones on which it
    depends.
    """

    each: frozenset[Outcome]
    rules: Sequence[str] = ()
    facts: tuple[str, ...] = ()

    @property
    def text(self) -> str:
        """The answers as people call them."""
        return " or ".join(SAID[one] for one in SAID if one in self.each)


ALLOW: Final[frozenset[Outcome]] = frozenset({"allow"})
DENY: Final[frozenset[Outcome]] = frozenset({"deny"})
REFUSED: Final = Outcomes(frozenset({"refused"}))
MISTAKE: Final = Outcomes(frozenset({"mistake"}))


def either(each: Iterable[Outcome], facts: Iterable[str]) -> Outcomes:
    """Return several answers, and the facts on which it depends."""
    return Outcomes(frozenset(each), (), tuple(sorted(facts)))
