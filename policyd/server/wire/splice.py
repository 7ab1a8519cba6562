"""Fields of protobuf, written from parts that were written before.

What many messages share is written once and kept as bytes; a message is then put together from
such parts. Source: https://protobuf.dev/programming-guides/encoding/
"""

from __future__ import annotations

from typing import Final

from google.protobuf.message import Message

_DELIMITED: Final = 2


def tag(message: type[Message], field: str) -> bytes:
    """Return what begins a field that is a length and bytes: its number, and that.

    For the numbers up to 15, which take one byte.
    """
    return bytes((message.DESCRIPTOR.fields_by_name[field].number << 3 | _DELIMITED,))


def delimited(begin: bytes, data: bytes) -> bytes:
    """Write a field that is a length and bytes."""
    return begin + size(len(data)) + data


def size(number: int) -> bytes:
    """Write a length."""
    return SIZES[number] if number < _SIZES_KEPT else _varint(number)


def _varint(number: int) -> bytes:
    """Write a number as protobuf does: seven bits a byte, the last of them first."""
    written = bytearray()
    while number >= 0x80:
        written.append(number & 0x7F | 0x80)
        number >>= 7
    written.append(number)
    return bytes(written)


#: The lengths of nearly all fields, as they are written.
_SIZES_KEPT: Final = 1024
SIZES: Final = [_varint(number) for number in range(_SIZES_KEPT)]
