"""GETs with a token each, over HTTP/2, as clients of a service behind Envoy send them."""

from __future__ import annotations

import time
from collections.abc import Sequence

from bench.load import END_HEADERS, END_STREAM, HEADERS, Connection, frame

_GET, _HTTP = b"\x82", b"\x86"
#: Fields by their index in HPACK's static table, not entered into the dynamic one (RFC 7541).
_PATH, _AUTHORITY, _AUTHORIZATION = b"\x04", b"\x01", b"\x0f\x08"
_LONGEST_SHORT = 127


class Clients(Connection):
    """A connection whose messages are the header blocks of requests without a body."""

    def call(self, message: bytes) -> None:
        """Begin a request."""
        self._out += frame(HEADERS, END_HEADERS | END_STREAM, self._stream, message)
        self._begun[self._stream] = time.perf_counter()
        self._stream += 2


def blocks(tokens: Sequence[str], *, sealed: bool = False) -> list[bytes]:
    """Return the header block of one request a token, each about a record of its own."""
    return [
        _GET
        + _HTTP
        + _PATH
        + _string(f"/patients/p{number}/{'true' if sealed else 'false'}")
        + _AUTHORITY
        + _string("localhost")
        + _AUTHORIZATION
        + _string(f"Bearer {token}")
        for number, token in enumerate(tokens)
    ]


def _string(text: str) -> bytes:
    data = text.encode("ascii")
    if len(data) < _LONGEST_SHORT:
        return bytes([len(data)]) + data
    left, size = len(data) - _LONGEST_SHORT, bytearray([_LONGEST_SHORT])
    while left >= 0x80:
        size.append(left & 0x7F | 0x80)
        left >>= 7
    return bytes([*size, left]) + data
