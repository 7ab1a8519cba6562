"""Requests with a body over HTTP/1.1, one at a time on each connection, made beforehand.

That is how most clients use HTTP: a pool of connections, each with one request under way.
"""

from __future__ import annotations

import re
import socket
import time
from collections.abc import Sequence

from bench.load import Connection, LoadError, Method

_LENGTH = re.compile(rb"\r\ncontent-length: *([0-9]+)\r\n", re.IGNORECASE)
_END_OF_HEAD = b"\r\n\r\n"
_OK = b"HTTP/1.1 200 "


class Plain(Connection):
    """A connection whose messages are whole requests of HTTP/1.1, answered in order."""

    def __init__(self, address: tuple[str, int], method: Method) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.latencies: list[float] = []
        self._expected = method.expected
        self._received = b""
        self._out = bytearray()
        self._sent: list[float] = []

    def call(self, message: bytes) -> None:
        """Begin a request."""
        self._out += message
        self._sent.append(time.perf_counter())

    def receive(self) -> int:
        """Read what has come, and return how many requests it answered."""
        data = self.socket.recv(262_144)
        if not data:
            raise LoadError("the server closed the connection")
        now, answered = time.perf_counter(), 0
        data = self._received + data
        while (response := _first(data)) is not None:
            if not response.startswith(_OK) or self._expected not in response:
                raise LoadError(f"a request ended without the expected answer: {response!r}")
            data = data[len(response) :]
            self.latencies.append(now - self._sent.pop(0))
            answered += 1
        self._received = data
        return answered


def _first(data: bytes) -> bytes | None:
    """Return the first whole response in what has come. One without a length raises `LoadError`."""
    head = data.find(_END_OF_HEAD)
    if head < 0:
        return None
    length = _LENGTH.search(data, 0, head + 2)
    if length is None:
        raise LoadError(f"a response does not tell its length: {data!r}")
    end = head + len(_END_OF_HEAD) + int(length[1])
    return data[:end] if len(data) >= end else None


def posts(path: str, bodies: Sequence[bytes], media_type: str = "application/json") -> list[bytes]:
    """Return a request for each body."""
    head = f"POST {path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: {media_type}\r\n"
    return [f"{head}Content-Length: {len(body)}\r\n\r\n".encode() + body for body in bodies]
