"""A load over one method of gRPC, or of plain HTTP/2, light enough not to limit what it measures.

A gRPC client costs more than the server under it, and the usual HTTP/2 load generator sends one and
the same body. So this speaks the little of HTTP/2 (RFC 9113) that a unary call needs, with header
blocks and bodies made beforehand. Input: an address, a method, and messages to send in rotation.
Output: how many calls ended, in what time, each with its latency. A call that gets no message
back, or not the expected one, an aborted stream or a closed connection raises `LoadError`: a failed
call is never counted.
"""

from __future__ import annotations

import selectors
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from typing import NamedTuple

FRAME = struct.Struct(">IBI")  # length and type in one number, flags, stream
DATA, HEADERS, RESET, SETTINGS, PING, GOAWAY, WINDOW_UPDATE = 0, 1, 3, 4, 6, 7, 8
ACK = END_STREAM = 0x1
END_HEADERS = 0x4
LARGEST_WINDOW = 2**31 - 1
FIRST_WINDOW = 65_535
PREFACE = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"


class LoadError(Exception):
    """The server failed a call, or the connection."""


class Measured(NamedTuple):
    """What one round gave. Latencies are seconds, sorted."""

    calls: int
    seconds: float
    latencies: list[float]

    @property
    def rate(self) -> float:
        return self.calls / self.seconds

    @property
    def mean(self) -> float:
        return sum(self.latencies) / len(self.latencies)


class Method(NamedTuple):
    """What is called: a path, such as `/package.Service/Method`, and whether over gRPC.

    `expected` must stand in each answer.
    """

    path: str
    expected: bytes = b""
    grpc: bool = True


class Connection:
    """One HTTP/2 connection with any number of unary calls in flight, over TLS with `context`."""

    def __init__(
        self, address: tuple[str, int], method: Method, context: ssl.SSLContext | None = None
    ) -> None:
        self.socket = socket.create_connection(address, timeout=10)
        if context is not None:
            self.socket = context.wrap_socket(self.socket)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self.latencies: list[float] = []
        self._grpc = method.grpc
        self._expected = method.expected
        self._begun: dict[int, float] = {}
        self._answered: set[int] = set()
        self._received = b""
        self._stream = 1
        self._window = FIRST_WINDOW
        self._waiting: list[bytes] = []
        # The first block enters its fields into the dynamic table, the following ones name them
        # by index, as a client's would (RFC 7541).
        self._headers, self._next_headers = header_blocks(method)
        self._out = bytearray(PREFACE)
        self._out += frame(SETTINGS, 0, 0, struct.pack(">HI", 4, LARGEST_WINDOW))
        self._out += frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", LARGEST_WINDOW - FIRST_WINDOW))

    def call(self, message: bytes) -> None:
        """Begin a call, or let it wait until the server's window has room for it."""
        if len(message) + 5 > self._window:
            self._waiting.append(message)
            return
        body = struct.pack(">BI", 0, len(message)) + message if self._grpc else message
        self._window -= len(body)
        self._out += frame(HEADERS, END_HEADERS, self._stream, self._headers)
        self._out += frame(DATA, END_STREAM, self._stream, body)
        self._headers = self._next_headers
        self._begun[self._stream] = time.perf_counter()
        self._stream += 2

    def flush(self) -> None:
        if self._out:
            self.socket.sendall(self._out)
            self._out.clear()

    def receive(self) -> int:
        """Read what has come, and return how many calls it ended."""
        data = self.socket.recv(262_144)
        if not data:
            raise LoadError("the server closed the connection")
        now = time.perf_counter()
        before = len(self.latencies)
        data = self._received + data
        at = 0
        while len(data) - at >= 9:
            head, flags, stream = FRAME.unpack_from(data, at)
            end = at + 9 + (head >> 8)
            if end > len(data):
                break
            self._take(head & 0xFF, flags, stream, data[at + 9 : end], now)
            at = end
        self._received = data[at:]
        return len(self.latencies) - before

    def _take(self, kind: int, flags: int, stream: int, payload: bytes, now: float) -> None:
        if kind == DATA and self._expected in payload:
            self._answered.add(stream)
        if kind in (DATA, HEADERS):
            if flags & END_STREAM:
                if stream not in self._answered:
                    raise LoadError(f"a call ended without the expected answer: {payload!r}")
                self._answered.discard(stream)
                self.latencies.append(now - self._begun.pop(stream))
        elif kind == WINDOW_UPDATE:
            if stream == 0:
                self._window += int.from_bytes(payload, "big")
                waiting, self._waiting = self._waiting, []
                for message in waiting:
                    self.call(message)
        elif kind in (SETTINGS, PING):
            if not flags & ACK:
                self._out += frame(kind, ACK, 0, payload if kind == PING else b"")
        elif kind in (RESET, GOAWAY):
            raise LoadError(f"the server ended stream {stream}: {payload!r}")


def run(
    address: tuple[str, int],
    method: Method,
    messages: Sequence[bytes],
    *,
    calls: int,
    connections: int = 1,
    in_flight: int = 1,
    enough: Callable[[], bool] = lambda: False,
    patience: float = 10.0,
    connect: Callable[[tuple[str, int], Method], Connection] = Connection,
) -> Measured:
    """Send `calls` calls of `method`, `in_flight` at a time on each connection; return the measure.

    A message is the bytes of its request. It ends before when there was `enough`.
    `patience` is how many seconds the server may be silent, `connect` opens a connection.
    """
    turn = cycle(messages)
    with selectors.DefaultSelector() as selector:
        opened = [connect(address, method) for _ in range(connections)]
        by_socket = {connection.socket.fileno(): connection for connection in opened}
        try:
            begin = time.perf_counter()
            left = calls
            for connection in opened:
                selector.register(connection.socket, selectors.EVENT_READ)
                left = _begin(connection, turn, in_flight, left)
            ended = 0
            while ended < calls and not enough():
                ready = selector.select(timeout=patience)
                if not ready:
                    raise LoadError(f"the server was silent for {patience:.0f} s")
                for key, _ in ready:
                    connection = by_socket[key.fd]
                    done = connection.receive()
                    ended += done
                    left = _begin(connection, turn, done, left)
            seconds = time.perf_counter() - begin
        finally:
            for connection in opened:
                connection.socket.close()
    latencies = sorted(each for connection in opened for each in connection.latencies)
    return Measured(ended, seconds, latencies)


def _begin(connection: Connection, turn: Iterator[bytes], count: int, left: int) -> int:
    """Begin `count` calls, but no more than are left; return how many are left then."""
    for _ in range(min(count, left)):
        connection.call(next(turn))
    connection.flush()
    return max(0, left - count)


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    return FRAME.pack(len(payload) << 8 | kind, flags, stream) + payload


def header_blocks(method: Method) -> tuple[bytes, bytes]:
    """Return the first call's header block and that of each following call (RFC 7541)."""
    post_over_http = b"\x83\x86"
    first = post_over_http
    first += b"\x44" + _string(method.path)  # :path
    first += b"\x41" + _string("localhost")  # :authority
    if not method.grpc:
        first += b"\x5f" + _string("application/json")
        return first, post_over_http + bytes([0x80 | 64, 0x80 | 63, 0x80 | 62])
    first += b"\x5f" + _string("application/grpc")  # content-type
    first += b"\x40" + _string("te") + _string("trailers")
    return first, post_over_http + bytes([0x80 | 65, 0x80 | 64, 0x80 | 63, 0x80 | 62])


def _string(text: str) -> bytes:
    assert len(text) < 127, "a longer string needs a longer length"
    return bytes([len(text)]) + text.encode("ascii")
