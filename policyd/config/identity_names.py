"""The names of the header fields that tell the service behind a gateway who a request is by.

Invariant: a name has spellings that programs take for it, and those never reach the service.
"""

from __future__ import annotations

import itertools
from typing import Final

import msgspec

#: A name has 3 to this power spellings at most.
MOST_HYPHENS: Final = 4


class IdentityNames(msgspec.Struct, frozen=True):
    """The names of the fields: subject and client of the token, and the decision's identifier."""

    subject: str = "X-Policyd-Subject"
    client: str = "X-Policyd-Client"
    decision_id: str = "X-Policyd-Decision-Id"

    def spellings(self) -> list[str]:
        """Return other names, in lower case, that programs take for these.

        CGI and what descends from it turns hyphens into underscores, some servers dots as well.
        """
        own = {name.lower() for name in msgspec.structs.astuple(self)}
        found: set[str] = set()
        for name in own:
            parts = name.split("-")
            for signs in itertools.product("-_.", repeat=len(parts) - 1):
                pairs = itertools.zip_longest(parts, signs, fillvalue="")
                found.add("".join(itertools.chain.from_iterable(pairs)))
        return sorted(found - own)


NAMES: Final = IdentityNames()
