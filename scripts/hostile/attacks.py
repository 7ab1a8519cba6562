"""The attacks: each is a function of the daemon's address that goes on until it is told to stop.

`ATTACKS` names them all, with what the daemon needs for each. They run in a process of their own,
beside honest callers (`scripts.hostile.run`) or all of them in turn beside a full load
(`scripts.soak`).
"""

from __future__ import annotations

import contextlib
import random
import socket
import struct
from collections import deque
from collections.abc import Callable
from functools import partial

from bench.load import PING, frame
from bench.servers import BATCH_CHECK, CHECK, HEALTH, SERVICE
from scripts.hostile import frames, messages
from scripts.hostile.connection import CALLS, Raw, framed
from scripts.hostile.target import Attack, Stop, Target, again

WATCH = HEALTH.replace("Check", "Watch")
STREAM = f"{SERVICE}/CheckStream"
#: How many connections a caller has.
CONNECTIONS, FLOOD = 12, 3_000
_POLICY = 'api health\n\naudience "https://example.com/health-api"\n\n'


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


def crowd(target: Target, stop: Stop, *, at_once: int = 500) -> None:
    """Open many connections at a time, each with half of a call's headers, and never wait."""
    beginning = Raw(target.address)
    beginning.headers(CHECK.path, flags=0)
    said = bytes(beginning.out)
    beginning.close()
    held: deque[socket.socket] = deque()
    while not stop.is_set():
        caller = socket.socket()
        caller.setblocking(False)
        held.append(caller)
        caller.connect_ex(target.address)
        if len(held) > at_once:
            oldest = held.popleft()
            with contextlib.suppress(OSError):  # it is not connected, or was closed
                oldest.send(said)
            held.appendleft(oldest)
            held.rotate(-1)
        if len(held) > FLOOD:
            held.popleft().close()


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
    Attack("rapid reset", frames.rapid_reset),
    Attack("rapid reset, with messages", partial(frames.rapid_reset, message=True)),
    Attack("rapid reset without SETTINGS", partial(frames.rapid_reset, message=True, polite=False)),
    Attack("SETTINGS without end", partial(frames.flood, frames.settings)),
    Attack("PING without end", partial(frames.flood, frames.pings)),
    Attack("CONTINUATION without end", partial(frames.flood, frames.continuations)),
    Attack("CONTINUATION, no SETTINGS", partial(frames.flood, frames.continuations, polite=False)),
    Attack("headers of a byte each", partial(frames.flood, frames.indexed, polite=False)),
    Attack("PRIORITY without end", partial(frames.flood, frames.priorities)),
    Attack("WINDOW_UPDATE without end", partial(frames.flood, frames.windows)),
    Attack("unknown frames without end", partial(frames.flood, frames.unknown)),
    Attack("empty DATA without end", partial(frames.flood, frames.empty_data)),
    Attack("padding without end", partial(frames.flood, frames.padding)),
    Attack("headers of 100 KB", again(frames.header_bomb)),
    Attack("what is no HTTP/2", again(frames.garbage)),
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
    Attack("a crowd of connections", crowd),
    Attack("no descriptors left", partial(connections, speak=True), descriptors=256),
    Attack("half TLS handshakes", half_handshakes, tls=True),
    Attack("rapid reset behind TLS", partial(frames.rapid_reset, tls=True), tls=True),
)
