"""As much of protobuf's encoding as a request to Cerbos takes, whose messages are not ours to keep.

https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

LENGTH_DELIMITED = 2


def field(number: int, value: bytes | str) -> bytes:
    """Return a field that holds a text or a message."""
    data = value.encode() if isinstance(value, str) else value
    return varint(number << 3 | LENGTH_DELIMITED) + varint(len(data)) + data


def flag(number: int, *, value: bool) -> bytes:
    """Return a field that holds a truth value."""
    return varint(number << 3) + varint(value)


def varint(value: int) -> bytes:
    out = bytearray()
    while value > 0x7F:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    out.append(value)
    return bytes(out)
