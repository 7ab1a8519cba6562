"""Who a request is by, in header fields for the service behind a gateway.

Invariants: a value is ASCII and no part of another syntax: all else is percent-encoded. A name has
spellings that programs take for it, and those never reach the service.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import quote

#: What stands for itself in a header field's value and is no part of another syntax there.
_SAFE: Final = "!#$&'*+-./:?@^_`|~"


def encoded(value: str | None) -> str:
    """Return a value as it stands in a field; nothing where there is none."""
    return quote(value, safe=_SAFE) if value else ""
