"""A caller of the soak that does everything wrong, one bad thing after the other.

It vanishes in mid-call, sends headers and nothing more, cancels, and sends what is no HTTP/2, no
gRPC and no message. Input: the address, and the bytes of a good question. Output: how often it
did something, in a shared counter.
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
import time
from collections.abc import Callable
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Event

from bench.load import (
    DATA,
    END_HEADERS,
    END_STREAM,
    FIRST_WINDOW,
    HEADERS,
    PREFACE,
    RESET,
    SETTINGS,
    Method,
    frame,
    header_blocks,
)
from bench.servers import CHECK, HEALTH, SERVICE

#: The error code of a stream that its caller cancels (RFC 9113, section 7).
CANCEL = 8

Address = tuple[str, int]


def vandalise(
    address: Address, body: bytes, half_open: int, stop: Event, done: Synchronized[int]
) -> None:
    """Do one bad thing after the other, counted, and hold calls half open all the while."""
    chance = random.Random(0)
    deeds: list[Callable[[Vandal], None]] = [
        Vandal.vanish_in_message,
        Vandal.vanish_before_answer,
        Vandal.cancel_before_message,
        Vandal.cancel_after_message,
        Vandal.leave_streams,
        Vandal.send_noise,
        Vandal.send_noise_in_frames,
        Vandal.send_no_grpc,
        Vandal.send_no_message,
        Vandal.ask_for_nothing_known,
    ]
    held: list[Vandal] = []
    until = 0.0
    while not stop.is_set():
        if time.monotonic() > until:
            for vandal in held:
                vandal.leave(reset=chance.random() < 0.5)
            held = [_half_open(address, body, chance, half_open)]
            until = time.monotonic() + 2.0
        vandal = Vandal(address, body, chance)
        with contextlib.suppress(OSError):  # the daemon may hang up on it
            chance.choice(deeds)(vandal)
        vandal.leave(reset=chance.random() < 0.5)
        done.value += 1
        time.sleep(0.002)
    for vandal in held:
        vandal.leave(reset=True)


def _half_open(address: Address, body: bytes, chance: random.Random, count: int) -> Vandal:
    vandal = Vandal(address, body, chance)
    for _ in range(count):
        vandal.headers(CHECK.path)
    vandal.send()
    return vandal


class Vandal:
    """One connection of a bad caller."""

    def __init__(self, address: Address, body: bytes, chance: random.Random) -> None:
        self.socket = socket.create_connection(address, timeout=5)
        self.chance = chance
        self.message = struct.pack(">BI", 0, len(body)) + body
        self.out = bytearray(PREFACE + frame(SETTINGS, 0, 0, b""))
        self.stream = -1

    def leave(self, *, reset: bool) -> None:
        """Close the connection, or let the kernel reset it."""
        if reset:
            linger = struct.pack("ii", 1, 0)
            self.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.socket.close()

    def headers(self, method: str) -> None:
        """Begin a call on a new stream."""
        self.stream += 2
        # The first of a connection's two kinds of block fits anywhere: it names nothing by index.
        self.out += frame(HEADERS, END_HEADERS, self.stream, header_blocks(Method(method))[0])

    def data(self, payload: bytes, *, end: bool) -> None:
        self.out += frame(DATA, END_STREAM if end else 0, self.stream, payload)

    def send(self) -> None:
        self.socket.sendall(self.out)
        self.out.clear()

    def hear(self) -> None:
        """Read once, whatever comes."""
        self.socket.settimeout(0.05)
        with contextlib.suppress(TimeoutError):
            self.socket.recv(65536)

    def vanish_in_message(self) -> None:
        self.headers(CHECK.path)
        self.data(self.message[: self.chance.randrange(len(self.message))], end=False)
        self.send()

    def vanish_before_answer(self) -> None:
        for _ in range(self.chance.randint(1, 16)):
            self.headers(CHECK.path)
            self.data(self.message, end=True)
        self.send()

    def cancel_before_message(self) -> None:
        self.headers(CHECK.path)
        self.out += frame(RESET, 0, self.stream, struct.pack(">I", CANCEL))
        self.send()
        self.hear()

    def cancel_after_message(self) -> None:
        for _ in range(self.chance.randint(1, 16)):
            self.headers(CHECK.path)
            self.data(self.message, end=True)
            self.out += frame(RESET, 0, self.stream, struct.pack(">I", CANCEL))
        self.send()
        self.hear()

    def leave_streams(self) -> None:
        """Watch, and exchange, and go away in the middle."""
        self.headers(HEALTH.replace("Check", "Watch"))
        self.data(b"\0\0\0\0\0", end=True)
        self.headers(f"{SERVICE}/CheckStream")
        self.data(b"\0\0\0\0\0", end=False)
        self.send()
        self.hear()

    def send_noise(self) -> None:
        """Send what is no HTTP/2."""
        self.socket.sendall(self.chance.randbytes(self.chance.randint(1, 4096)))
        self.hear()

    def send_noise_in_frames(self) -> None:
        """Send frames of any kind, on any stream, that hold anything."""
        for _ in range(self.chance.randint(1, 20)):
            payload = self.chance.randbytes(self.chance.randint(0, 64))
            flags, stream = self.chance.randrange(256), self.chance.randrange(8)
            self.out += frame(self.chance.randrange(12), flags, stream, payload)
        self.send()
        self.hear()

    def send_no_grpc(self) -> None:
        """Lie about a message's length or compression."""
        self.headers(CHECK.path)
        lie = struct.pack(">BI", self.chance.randrange(256), self.chance.randrange(2**32))
        self.data(lie + self.chance.randbytes(100), end=self.chance.random() < 0.5)
        self.send()
        self.hear()

    def send_no_message(self) -> None:
        """Send bytes that are no request."""
        noise = self.chance.randbytes(self.chance.randint(0, FIRST_WINDOW // 8))
        self.headers(CHECK.path)
        self.data(struct.pack(">BI", 0, len(noise)) + noise, end=True)
        self.send()
        self.hear()

    def ask_for_nothing_known(self) -> None:
        self.headers(f"{SERVICE}/None{self.chance.randrange(1000)}")
        self.data(self.message, end=True)
        self.send()
        self.hear()
