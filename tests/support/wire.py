"""Messages by their bytes, for what no library would write."""

from __future__ import annotations

from policyd.server.wire.splice import size


def field(number: int, content: bytes) -> bytes:
    """Return a field that is a length and bytes."""
    return size(number << 3 | 2) + size(len(content)) + content


def listed(value: bytes, times: int, name: bytes = b"a") -> bytes:
    """Return a Struct of one entry, a list that holds a Value so many times."""
    return field(1, field(1, name) + field(2, field(6, field(1, value) * times)))


#: Values without content: null, and an empty object.
NULL = b"\x08\x00"
EMPTY = field(5, b"")
