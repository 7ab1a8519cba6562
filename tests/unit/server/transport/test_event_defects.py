"""The one thread that carries all calls: a defect with one of them must not end it."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import grpc
import pytest

from policyd.config.limits import Limits
from policyd.pdp.calls import Call
from policyd.server.transport.event import EventTransport
from policyd.server.transport.event_call import EventCall
from policyd.server.transport.interface import Unary
from tests.support.daemon import PATIENCE, Caller
from tests.support.transports import SURPLUS


def echo(data: bytes, _call: Call) -> bytes:
    return data


@pytest.fixture
def caller() -> Iterator[Caller]:
    transport = EventTransport({"/s/Echo": Unary(echo)}, Limits(), SURPLUS)
    address = transport.bind("127.0.0.1:0")
    transport.start()
    try:
        with Caller(address) as connection:
            yield connection
    finally:
        if any(thread.name == "calls" for thread in threading.enumerate()):
            transport.stop(grace=0)  # which waits for that thread


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("begin_unary", "a call could not be advanced"),
        ("_on_request", "a call could not be advanced"),
        ("_answer_unary", "an answer could not be sent"),
    ],
)
def test_a_defect_with_one_call_leaves_the_others_alone(
    caller: Caller,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    method: str,
    said: str,
) -> None:
    sound = getattr(EventCall, method)
    broken = threading.Event()

    def once(call: EventCall, *arguments: object) -> object:
        if not broken.is_set():
            broken.set()
            raise ZeroDivisionError
        return sound(call, *arguments)

    monkeypatch.setattr(EventCall, method, once)
    echoes: grpc.UnaryUnaryMultiCallable[bytes, bytes] = caller.channel.unary_unary("/s/Echo")
    lost = echoes.future(b"lost", timeout=PATIENCE)
    assert broken.wait(PATIENCE)
    assert caller.raw("/s/Echo", b"next") == b"next"
    assert [one.message for one in caplog.records if one.exc_info] == [said]
    lost.cancel()
