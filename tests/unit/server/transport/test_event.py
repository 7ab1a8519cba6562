"""The turns of the event transport: who is answered before whom."""

from __future__ import annotations

import threading

import pytest

from bench.load import PING, frame
from policyd.server.transport import event
from policyd.server.transport.event import EventTransport
from policyd.server.transport.interface import Call, Limits, Unary
from scripts.hostile.connection import Raw, framed
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
