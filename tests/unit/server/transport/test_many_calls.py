"""Many calls at a time: what is answered together stays apart, over each transport."""

from __future__ import annotations

import threading
from contextlib import suppress
from typing import Protocol

import grpc
import pytest

from bench.crowd import half_open
from bench.servers import CHECK
from policyd.config.limits import Limits
from policyd.pdp.calls import Call, CallFailed, Deferred, Deliver, StatusCode
from policyd.server.transport.aside import SMALL
from policyd.server.transport.interface import (
    Exchange,
    Methods,
    Send,
    TransportFactory,
    Unary,
    Unsubscribe,
    Watch,
)
from tests.support.daemon import PATIENCE, Caller
from tests.support.transports import SURPLUS, Serving

#: More than a transport answers together.
MANY = 240
BEFORE_A_STOP = 64
HALF_OPEN = 16


def echo(data: bytes, _call: Call) -> bytes:
    return data


def fail(data: bytes, _call: Call) -> bytes:
    raise CallFailed(StatusCode.NOT_FOUND, data.decode())


def break_down(_data: bytes, _call: Call) -> bytes:
    raise ZeroDivisionError


def answer_later(data: bytes, _call: Call) -> Deferred[bytes]:
    return Deferred(lambda deliver: threading.Thread(target=deliver, args=(data,)).start())


METHODS: Methods = {
    "/s/Echo": Unary(echo),
    "/s/Fail": Unary(fail),
    "/s/Break": Unary(break_down),
    "/s/Later": Unary(answer_later, waits=True),
}


class Future(Protocol):
    """A call under way, as grpcio's client shows it."""

    def result(self) -> bytes: ...

    def code(self) -> grpc.StatusCode: ...

    def details(self) -> str | None: ...


def begin(caller: Caller, method: str, data: bytes) -> Future:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = caller.channel.unary_unary(method)
    return call.future(data, timeout=PATIENCE)


def exchange_of(caller: Caller, method: str) -> grpc.StreamStreamMultiCallable[bytes, bytes]:
    return caller.channel.stream_stream(method)


def outcome(future: Future) -> bytes | tuple[grpc.StatusCode, str | None]:
    try:
        return future.result()
    except grpc.RpcError:
        return future.code(), future.details()


def test_each_call_gets_its_own_answer_whatever_becomes_of_the_others(serving: Serving) -> None:
    with serving(METHODS) as caller:
        names = list(METHODS) * (MANY // len(METHODS))
        futures = [begin(caller, name, b"%d" % number) for number, name in enumerate(names)]
        for number, (name, future) in enumerate(zip(names, futures, strict=True)):
            found = outcome(future)
            if name == "/s/Fail":
                assert found == (grpc.StatusCode.NOT_FOUND, str(number))
            elif name == "/s/Break":
                assert isinstance(found, tuple)
                assert found[0] is grpc.StatusCode.INTERNAL
            else:
                assert found == b"%d" % number


def test_calls_without_a_message_hold_up_no_others(make: TransportFactory) -> None:
    transport = make({CHECK.path: Unary(echo)}, Limits(threads=2), SURPLUS)
    address = transport.bind("127.0.0.1:0")
    transport.start()
    host, _, port = address.rpartition(":")
    try:
        with half_open((host, int(port)), HALF_OPEN), Caller(address) as caller:
            futures = [begin(caller, CHECK.path, b"%d" % number) for number in range(MANY)]
            assert [outcome(future) for future in futures] == [b"%d" % n for n in range(MANY)]
    finally:
        transport.stop(grace=0)


@pytest.mark.parametrize("repetition", range(8))
def test_a_stop_among_many_calls_leaves_none_open(make: TransportFactory, repetition: int) -> None:
    answered = threading.Semaphore(0)

    def answer(data: bytes, _call: Call) -> bytes:
        answered.release()
        return data

    transport = make({"/s/Echo": Unary(answer)}, Limits(), SURPLUS)
    address = transport.bind("127.0.0.1:0")
    transport.start()
    with Caller(address) as caller:
        futures = [begin(caller, "/s/Echo", b"%d" % number) for number in range(BEFORE_A_STOP)]
        # A few more each time, so that the stop meets the calls at different places.
        for _ in range(1 + 4 * repetition):
            assert answered.acquire(timeout=PATIENCE)
        transport.stop(grace=0)
        for number, future in enumerate(futures):
            found = outcome(future)
            assert found == b"%d" % number or (
                isinstance(found, tuple)
                and found[0] in (grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.CANCELLED)
            )


def test_answers_and_messages_after_a_stop_go_nowhere(make: TransportFactory) -> None:
    delivers: list[Deliver[bytes]] = []
    sends: list[Send] = []
    begun = threading.Semaphore(0)

    def begin_to_wait(deliver: Deliver[bytes]) -> None:
        delivers.append(deliver)
        begun.release()

    def subscribe(_request: bytes, send: Send) -> Unsubscribe:
        sends.append(send)
        begun.release()
        return sends.clear

    methods: Methods = {
        "/s/Later": Unary(lambda _data, _call: Deferred(begin_to_wait), waits=True),
        "/s/Exchange": Exchange(lambda _data, _call: Deferred(begin_to_wait)),
        "/s/Watch": Watch(subscribe),
    }
    transport = make(methods, Limits(), SURPLUS)
    address = transport.bind("127.0.0.1:0")
    transport.start()
    with Caller(address) as caller:
        unary = begin(caller, "/s/Later", b"a")
        asked = exchange_of(caller, "/s/Exchange")(iter([b"a"]), timeout=PATIENCE)
        watched = exchange_of(caller, "/s/Watch")(iter([b"a"]), timeout=PATIENCE)
        for _ in range(3):
            assert begun.acquire(timeout=PATIENCE)
        send = sends[0]
        transport.stop(grace=0)
        for deliver in delivers:
            deliver(b"late")
        send(b"late")
        for call in (asked, watched):
            with pytest.raises(grpc.RpcError):
                list(call)
        assert outcome(unary) != b"late"


@pytest.mark.parametrize("repetition", range(3))
def test_a_stop_while_answers_arrive_ends_quietly(make: TransportFactory, repetition: int) -> None:
    delivers: list[Deliver[bytes]] = []
    begun = threading.Semaphore(0)

    def begin_to_wait(deliver: Deliver[bytes]) -> None:
        delivers.append(deliver)
        begun.release()

    def answer(data: bytes, _call: Call) -> bytes | Deferred[bytes]:
        return Deferred(begin_to_wait) if data == b"a" else data

    methods: Methods = {"/s/Exchange": Exchange(answer)}
    transport = make(methods, Limits(), SURPLUS)
    address = transport.bind("127.0.0.1:0")
    transport.start()
    with Caller(address) as caller:
        ask = exchange_of(caller, "/s/Exchange")
        calls = [ask(iter([b"a", b"b"]), timeout=PATIENCE) for _ in range(HALF_OPEN)]
        for _ in calls:
            assert begun.acquire(timeout=PATIENCE)
        stop = threading.Thread(target=transport.stop, args=(0.01 * repetition,))
        stop.start()
        for deliver in delivers:
            deliver(b"late")
        stop.join(PATIENCE)
        assert not stop.is_alive()
        for call in calls:
            with suppress(grpc.RpcError):
                assert list(call) == [b"late", b"b"]


def test_small_messages_do_not_wait_for_large_ones(serving: Serving) -> None:
    """A handler that does not come to an end with large messages answers small ones."""
    held = threading.Event()

    def hold_large(data: bytes, _call: Call) -> bytes:
        if len(data) > SMALL:
            assert held.wait(PATIENCE)
        return data[:4]

    def fail_large(data: bytes, _call: Call) -> bytes:
        raise CallFailed(StatusCode.NOT_FOUND, str(len(data)))

    def put_off_large(data: bytes, _call: Call) -> Deferred[bytes]:
        return Deferred(lambda deliver: deliver(data[:4]))

    methods: Methods = {
        "/s/Hold": Unary(hold_large),
        "/s/Stream": Exchange(hold_large),
        "/s/Fail": Unary(fail_large),
        "/s/Later": Unary(put_off_large, waits=True),
    }
    large = bytes(SMALL + 1)
    with serving(methods, Limits(message_bytes=2 * SMALL)) as caller:
        waiting = [begin(caller, "/s/Hold", large) for _ in range(2)]
        stream = exchange_of(caller, "/s/Stream")(iter([large, b"last"]), timeout=PATIENCE)
        assert [begin(caller, "/s/Hold", b"%04d" % n).result() for n in range(20)] == [
            b"%04d" % n for n in range(20)
        ]
        held.set()
        assert [call.result() for call in waiting] == [bytes(4)] * 2
        assert list(stream) == [bytes(4), b"last"]
        assert begin(caller, "/s/Later", large).result() == bytes(4)
        failed = begin(caller, "/s/Fail", large)
        assert failed.code() is grpc.StatusCode.NOT_FOUND
        assert failed.details() == str(SMALL + 1)


def test_large_messages_do_not_hold_up_the_end(serving: Serving) -> None:
    begun, held = threading.Event(), threading.Event()

    def hold(data: bytes, _call: Call) -> bytes:
        begun.set()
        assert held.wait(PATIENCE)
        return data

    methods: Methods = {"/s/Hold": Unary(hold)}
    with serving(methods, Limits(message_bytes=2 * SMALL)) as caller:
        waiting = [begin(caller, "/s/Hold", bytes(SMALL + 1)) for _ in range(3)]
        assert begun.wait(PATIENCE)
        held.set()
    for call in waiting:
        with suppress(grpc.RpcError):
            call.result()
