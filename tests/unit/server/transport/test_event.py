"""The turns of the event transport: who is answered before whom."""

from __future__ import annotations

import threading

import pytest

from bench.load import END_HEADERS, PING, frame
from policyd.config.limits import Limits
from policyd.pdp.calls import Call
from policyd.server.transport import event
from policyd.server.transport.event import EventTransport
from policyd.server.transport.grpc_options import most_headers
from policyd.server.transport.interface import Unary
from scripts.hostile.connection import CONTINUATION, Raw, framed
from tests.support.daemon import PATIENCE
from tests.support.transports import SURPLUS

METHOD = "/s/Note"
MANY = 200


def test_who_asks_much_waits_for_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each answer takes a whole turn here; a question of another connection goes before."""
    monkeypatch.setattr(event, "_KEPT_WAITING", 0.0)
    monkeypatch.setattr(event, "_LONG", 0.0)
    asked: list[bytes] = []
    begun, go_on = threading.Event(), threading.Event()

    def note(data: bytes, _call: Call) -> bytes:
        asked.append(data)
        if data == b"much":
            begun.set()
            assert go_on.wait(PATIENCE)
        return data

    transport = EventTransport({METHOD: Unary(note)}, Limits(), SURPLUS)
    host, _, port = transport.bind("127.0.0.1:0").rpartition(":")
    transport.start()
    busy, other = Raw((host, int(port))), Raw((host, int(port)))
    try:
        other.call(METHOD, framed(b"first"))
        other.send()
        other.until_ended(1, PATIENCE)
        for _ in range(MANY):
            busy.call(METHOD, framed(b"much"))
        busy.send()
        assert begun.wait(PATIENCE)
        other.call(METHOD, framed(b"little"))
        other.out += frame(PING, 0, 0, b"have you")
        other.send()
        heard = b""
        while b"have you" not in heard:  # so gRPC has read the call
            heard += other.socket.recv(1 << 16)
        go_on.set()
        busy.until_ended(MANY, PATIENCE)
        other.until_ended(2, PATIENCE)
    finally:
        busy.close()
        other.close()
        transport.stop(grace=0)
    # In the order of arrival it would be the last.
    assert asked.index(b"little") < MANY
    assert sorted(asked) == [b"first", b"little", *[b"much"] * MANY]


def test_headers_past_the_limit_are_refused_before_settings_are_acknowledged() -> None:
    """Each is a byte long: an entry of the static table (RFC 7541, section 6.1)."""
    asked: list[bytes] = []

    def note(data: bytes, _call: Call) -> bytes:
        asked.append(data)
        return data

    transport = EventTransport({METHOD: Unary(note)}, Limits(), SURPLUS)
    host, _, port = transport.bind("127.0.0.1:0").rpartition(":")
    transport.start()
    raw = Raw((host, int(port)), polite=False)
    try:
        raw.headers(METHOD, flags=0)
        raw.out += frame(
            CONTINUATION, END_HEADERS, raw.stream, b"\x91" * (most_headers(Limits()) + 1)
        )
        raw.data(framed(b"too much"), end=True)
        raw.call(METHOD, framed(b"enough"))
        raw.send()
        raw.until_ended(2, PATIENCE)
        assert raw.ended == 2
    finally:
        raw.close()
        transport.stop(grace=0)
    assert asked == [b"enough"]


def test_calls_that_waited_in_a_flood_are_all_answered(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Here each turn takes one event, and begins one call."""
    monkeypatch.setattr(event, "_EVENTS_PER_TURN", 1)
    monkeypatch.setattr(event, "_BEGUN_PER_TURN", 1)
    asked: list[bytes] = []

    def note(data: bytes, _call: Call) -> bytes:
        asked.append(data)
        return data

    transport = EventTransport({METHOD: Unary(note)}, Limits(), SURPLUS)
    host, _, port = transport.bind("127.0.0.1:0").rpartition(":")
    transport.start()
    callers = [Raw((host, int(port))) for _ in range(3)]
    try:
        for caller in callers:
            for _ in range(MANY):
                caller.call(METHOD, framed(b"a"))
            caller.send()
        for caller in callers:
            caller.until_ended(MANY, PATIENCE)
        assert [caller.ended for caller in callers] == [MANY] * 3
    finally:
        for caller in callers:
            caller.close()
        transport.stop(grace=0)
    assert asked == [b"a"] * 3 * MANY
