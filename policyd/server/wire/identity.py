"""Who a request is by, in header fields for the service behind a gateway.

Invariants: a value is ASCII and no part of another syntax: all else is percent-encoded. A name has
spellings that programs take for it, and those never reach the service.
"""

from __future__ import annotations

import itertools
from typing import Final
from urllib.parse import quote

import msgspec

#: What stands for itself in a header field's value and is no part of another syntax there.
_SAFE: Final = "!#$&'*+-./:?@^_`|~"
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


def encoded(value: str | None) -> str:
    """Return a value as it stands in a field; nothing where there is none."""
    return quote(value, safe=_SAFE) if value else ""
