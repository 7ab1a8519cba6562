"""Answers that come later: what every transport owes a handler that has to wait."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from queue import SimpleQueue
from typing import Protocol

import grpc
import pytest

from policyd.config.limits import Limits
from policyd.pdp.calls import Call, CallFailed, Deferred, Deliver, StatusCode
from policyd.server.transport.interface import Exchange, TransportFactory, Unary
from tests.support.daemon import PATIENCE, Caller
from tests.support.transports import SURPLUS, Serving


class _Started(Protocol):
    """A call under way; grpcio's type of it has no public name."""

    def result(self) -> bytes: ...

    def done(self) -> bool: ...

    def cancel(self) -> bool: ...


FAILED = CallFailed(StatusCode.NOT_FOUND, "not here ☃", b"details")


class Desk:
    """A handler that puts off every answer, until the test gives it."""

    def __init__(self) -> None:
        self._waiting: SimpleQueue[tuple[bytes, Deliver[bytes]]] = SimpleQueue()

    def __call__(self, data: bytes, _call: Call) -> Deferred[bytes]:
        return Deferred(lambda deliver: self._waiting.put((data, deliver)))

    def next(self) -> tuple[bytes, Deliver[bytes]]:
        return self._waiting.get(timeout=PATIENCE)


def echo(data: bytes, _call: Call) -> bytes:
    return data


def start(caller: Caller, method: str, data: bytes = b"") -> _Started:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = caller.channel.unary_unary(method)
    return call.future(data, timeout=PATIENCE)


def status_of(started: _Started) -> tuple[grpc.StatusCode, str | None, list[object]]:
    with pytest.raises(grpc.RpcError) as caught:
        started.result()
    failed: object = caught.value
    assert isinstance(failed, grpc.Call)
    trailers = failed.trailing_metadata() or ()
    details: list[object] = [item[1] for item in trailers if item[0] == "grpc-status-details-bin"]
    return failed.code(), failed.details(), details


@pytest.mark.parametrize("waits", [True, False])
def test_an_answer_from_another_thread(serving: Serving, waits: bool) -> None:
    desk = Desk()
    with serving({"/s/Wait": Unary(desk, waits=waits)}) as caller:
        started = start(caller, "/s/Wait", b"question")
        data, deliver = desk.next()
        assert data == b"question"
        assert not started.done()
        deliver(b"answer")
        assert started.result() == b"answer"


@pytest.mark.parametrize("waits", [True, False])
def test_a_failure_from_another_thread(serving: Serving, waits: bool) -> None:
    desk = Desk()
    with serving({"/s/Wait": Unary(desk, waits=waits)}) as caller:
        started = start(caller, "/s/Wait")
        desk.next()[1](FAILED)
        assert status_of(started) == (grpc.StatusCode.NOT_FOUND, "not here ☃", [b"details"])


@pytest.mark.parametrize("waits", [True, False])
def test_an_answer_that_is_there_at_once(serving: Serving, waits: bool) -> None:
    """Also where the handler puts it off: it may be delivered before `begin` returns."""
    at_once = Unary(lambda data, _: Deferred(lambda deliver: deliver(data)), waits=waits)
    with serving({"/s/Echo": Unary(echo, waits=waits), "/s/Later": at_once}) as caller:
        assert caller.raw("/s/Echo", b"now") == b"now"
        assert caller.raw("/s/Later", b"now") == b"now"


@pytest.mark.parametrize("waits", [True, False])
def test_failures_that_are_there_at_once(serving: Serving, waits: bool) -> None:
    def fail(_data: bytes, _call: Call) -> bytes:
        raise FAILED

    def break_down(_data: bytes, _call: Call) -> Deferred[bytes]:
        raise ZeroDivisionError("secret")

    methods = {"/s/Fail": Unary(fail, waits=waits), "/s/Break": Unary(break_down, waits=waits)}
    with serving(methods) as caller:
        assert status_of(start(caller, "/s/Fail"))[1:] == ("not here ☃", [b"details"])
        code, told, _ = status_of(start(caller, "/s/Break"))
        assert code is grpc.StatusCode.INTERNAL
        assert "secret" not in (told or "")


@pytest.mark.parametrize("waits", [True, False])
def test_what_cannot_even_be_put_off_is_a_defect(serving: Serving, waits: bool) -> None:
    def begin(_deliver: Deliver[bytes]) -> None:
        raise ZeroDivisionError("secret")

    with serving({"/s/Break": Unary(lambda *_: Deferred(begin), waits=waits)}) as caller:
        code, told, _ = status_of(start(caller, "/s/Break"))
        assert code is grpc.StatusCode.INTERNAL
        assert "secret" not in (told or "")


def test_waiting_holds_no_thread(serving: Serving) -> None:
    """Fifty calls wait, and the two threads that there are still answer others."""
    desk = Desk()
    methods = {"/s/Wait": Unary(desk, waits=True), "/s/Echo": Unary(echo)}
    with serving(methods, Limits(threads=2)) as caller:
        started = [start(caller, "/s/Wait", bytes([n])) for n in range(50)]
        waiting = [desk.next() for _ in started]
        assert [caller.raw("/s/Echo", b"x") for _ in range(100)] == [b"x"] * 100
        for data, deliver in reversed(waiting):
            deliver(data)
        assert [each.result() for each in started] == [bytes([n]) for n in range(50)]


def test_a_stream_waits_for_its_own_answer(serving: Serving) -> None:
    desk = Desk()
    with serving({"/s/Exchange": Exchange(desk), "/s/Echo": Unary(echo)}) as caller:
        stream: grpc.StreamStreamMultiCallable[bytes, bytes]
        stream = caller.channel.stream_stream("/s/Exchange")
        answers = stream(iter([b"a", b"b"]), timeout=PATIENCE)
        data, deliver = desk.next()
        assert caller.raw("/s/Echo", b"x") == b"x"
        deliver(data + b"1")
        assert next(answers) == b"a1"
        data, deliver = desk.next()
        deliver(data + b"2")
        assert list(answers) == [b"b2"]


def test_a_stream_ends_with_a_later_failure(serving: Serving) -> None:
    desk = Desk()
    with serving({"/s/Exchange": Exchange(desk)}) as caller:
        stream: grpc.StreamStreamMultiCallable[bytes, bytes]
        stream = caller.channel.stream_stream("/s/Exchange")
        answers: Iterator[bytes] = stream(iter([b"a"]), timeout=PATIENCE)
        desk.next()[1](FAILED)
        with pytest.raises(grpc.RpcError, match="not here"):
            next(answers)


@pytest.mark.parametrize("answer", [b"late", FAILED])
def test_callers_that_left_do_no_harm(serving: Serving, answer: bytes | CallFailed) -> None:
    desk = Desk()
    methods = {"/s/Wait": Unary(desk, waits=True), "/s/Echo": Unary(echo)}
    with serving(methods, Limits(calls=1)) as caller:
        for _ in range(3):
            started = start(caller, "/s/Wait")
            _, deliver = desk.next()
            started.cancel()
            deliver(answer)
            # The place of the call that was left is free again.
            while status_or_answer(caller) != b"x":
                pass


def status_or_answer(caller: Caller) -> bytes | None:
    try:
        return caller.raw("/s/Echo", b"x")
    except grpc.RpcError:
        return None


def test_a_stop_does_not_wait_for_those_who_wait(make: TransportFactory) -> None:
    """It ends within its grace; the answer that comes after that goes nowhere."""
    desk = Desk()
    transport = make({"/s/Wait": Unary(desk, waits=True)}, Limits(), SURPLUS)
    address = transport.bind("127.0.0.1:0")
    transport.start()
    with Caller(address) as caller:
        started = start(caller, "/s/Wait")
        _, deliver = desk.next()
        stopping = threading.Thread(target=transport.stop, args=(0.05,))
        stopping.start()
        assert status_of(started)[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
        deliver(b"too late")


def test_a_stop_lets_those_who_wait_have_their_answer(make: TransportFactory) -> None:
    desk = Desk()
    transport = make({"/s/Wait": Unary(desk, waits=True)}, Limits(), SURPLUS)
    address = transport.bind("127.0.0.1:0")
    transport.start()
    with Caller(address) as caller:
        started = start(caller, "/s/Wait")
        _, deliver = desk.next()
        stopping = threading.Thread(target=transport.stop, args=(PATIENCE,))
        stopping.start()
        deliver(b"in time")
        assert started.result() == b"in time"
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
