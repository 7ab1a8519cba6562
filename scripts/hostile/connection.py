"""An HTTP/2 connection that keeps to the rules only where its owner wants it (RFC 9113).

Frames are written by hand, so that any of them can be left out, repeated or cut short. What comes
back is read for its windows alone.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
import time

from bench.load import (
    ACK,
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    FRAME,
    HEADERS,
    PING,
    PREFACE,
    RESET,
    SETTINGS,
    WINDOW_UPDATE,
    Method,
    frame,
    header_blocks,
)

Address = tuple[str, int]
CONTINUATION = 9
CANCEL = struct.pack(">I", 8)
#: The largest payload of a frame that every peer takes (RFC 9113, section 4.2).
_LARGEST_FRAME = 16_384
#: SETTINGS_INITIAL_WINDOW_SIZE (RFC 9113, section 6.5.2).
_INITIAL_WINDOW = 4


class Gone(OSError):
    """The daemon closed the connection."""


#: How many calls a caller tries on a connection.
CALLS = 100


class Raw:
    """One connection. `window` is what it grants to each answer; `tls` speaks TLS first; one that
    is not `polite` never acknowledges the daemon's SETTINGS, whose limits then do not hold for it.

    `settings` are the daemon's, `ended` is how many calls it has ended.
    """

    def __init__(
        self,
        address: Address,
        *,
        window: int | None = None,
        tls: bool = False,
        polite: bool = True,
    ) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if tls:
            self.socket = client_context().wrap_socket(self.socket)
        settings = b"" if window is None else struct.pack(">HI", _INITIAL_WINDOW, window)
        self.out = bytearray(PREFACE + frame(SETTINGS, 0, 0, settings))
        self.stream = -1
        self._polite = polite
        self._over: set[int] = set()
        self.settings: dict[int, int] = {}
        # By stream: how far its window is from the first one, which settings may change.
        self._windows: dict[int, int] = {}
        self._window = FIRST_WINDOW
        self._received = b""

    @property
    def ended(self) -> int:
        return len(self._over)

    def close(self) -> None:
        self.socket.close()

    def reset(self) -> None:
        """Let the kernel reset the connection."""
        with contextlib.suppress(OSError):
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self.socket.close()

    # -- what is written -----------------------------------------------------------------------

    def headers(self, path: str, *, flags: int = END_HEADERS) -> int:
        """Begin a call on a new stream, and return the stream."""
        self.stream += 2
        self.out += frame(HEADERS, flags, self.stream, header_blocks(Method(path))[0])
        return self.stream

    def data(self, payload: bytes, *, end: bool) -> None:
        """Write a frame of data on the latest stream, whatever its window."""
        self.out += frame(DATA, END_STREAM if end else 0, self.stream, payload)

    def cancel(self) -> None:
        """Reset the latest stream."""
        self.out += frame(RESET, 0, self.stream, CANCEL)

    def call(self, path: str, message: bytes) -> None:
        """Write a whole call of a short message."""
        self.headers(path)
        self.data(message, end=True)

    def send(self) -> None:
        data, self.out = bytes(self.out), bytearray()
        self.socket.sendall(data)

    def send_slowly(self, body: bytes, *, end: bool, patience: float = 3.0) -> int:
        """Send what the windows allow of `body` until all is gone; return how much is.

        It gives up when a call ends, and when no window opens for `patience` seconds.
        """
        at, stream, ended = 0, self.stream, self.ended
        until = time.monotonic() + patience
        while at < len(body) and time.monotonic() < until and self.ended == ended:
            room = min(self._window, self._stream_window(stream), _LARGEST_FRAME)
            if room <= 0:
                self.send()
                self.hear(0.05)
                continue
            part = body[at : at + room]
            at += len(part)
            self._window -= len(part)
            self._windows[stream] = self._windows.get(stream, 0) - len(part)
            self.data(part, end=end and at == len(body))
            until = time.monotonic() + patience
        self.send()
        return at

    # -- what is read --------------------------------------------------------------------------

    def hear(self, patience: float = 0.0) -> None:
        """Read what is there, `patience` seconds at most. Raises `Gone`."""
        self.socket.settimeout(patience or 0.0001)
        try:
            data = self.socket.recv(1 << 16)
        except (TimeoutError, BlockingIOError, ssl.SSLWantReadError):
            return
        finally:
            self.socket.settimeout(5)
        if not data:
            raise Gone("closed")
        self._received += data
        while len(self._received) >= FRAME.size:
            head, flags, stream = FRAME.unpack_from(self._received)
            end = FRAME.size + (head >> 8)
            if len(self._received) < end:
                return
            payload, self._received = self._received[FRAME.size : end], self._received[end:]
            self._take(head & 0xFF, flags, stream, payload)

    def _stream_window(self, stream: int) -> int:
        return self.settings.get(_INITIAL_WINDOW, FIRST_WINDOW) + self._windows.get(stream, 0)

    def until_ended(self, count: int, patience: float) -> None:
        """Read until `count` calls have ended, `patience` seconds at most."""
        until = time.monotonic() + patience
        while self.ended < count and time.monotonic() < until:
            self.hear(0.05)

    def _take(self, kind: int, flags: int, stream: int, payload: bytes) -> None:
        if kind == WINDOW_UPDATE:
            more = int.from_bytes(payload, "big")
            if stream:
                self._windows[stream] = self._windows.get(stream, 0) + more
            else:
                self._window += more
        elif kind in (SETTINGS, PING) and not flags & ACK:
            if kind == SETTINGS:
                self.settings.update(struct.iter_unpack(">HI", payload))
                if not self._polite:
                    return
            self.out += frame(kind, ACK, 0, payload if kind == PING else b"")
            self.send()
        elif kind == RESET or (kind in (DATA, HEADERS) and flags & END_STREAM):
            self._over.add(stream)


def framed(message: bytes) -> bytes:
    """Return a message as gRPC sends it: uncompressed, with its length."""
    return struct.pack(">BI", 0, len(message)) + message


def client_context() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context
