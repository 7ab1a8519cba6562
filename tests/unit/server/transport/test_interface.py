"""What every transport owes: handlers of the tests' own, over a real socket."""

from __future__ import annotations

import logging
import threading
from collections.abc import Iterator
from pathlib import Path

import grpc
import pytest

from policyd.config.limits import Limits
from policyd.pdp.calls import Call, CallFailed, StatusCode
from policyd.server.transport.interface import (
    BindFailed,
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


def echo(data: bytes, _call: Call) -> bytes:
    return data


def fail(data: bytes, _call: Call) -> bytes:
    raise CallFailed(StatusCode.NOT_FOUND, data.decode(), b"details")


def break_down(_data: bytes, _call: Call) -> bytes:
    raise ZeroDivisionError("secret")


def failure_of(caller: Caller, method: str, data: bytes = b"") -> grpc.Call:
    call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = caller.channel.unary_unary(method)
    with pytest.raises(grpc.RpcError) as caught:
        call(data, timeout=PATIENCE)
    failed: object = caught.value
    assert isinstance(failed, grpc.Call)
    return failed


def details(failed: grpc.Call) -> list[str | bytes]:
    trailers = failed.trailing_metadata() or ()
    return [item[1] for item in trailers if item[0] == "grpc-status-details-bin"]


@pytest.mark.parametrize("data", [b"", b"x", bytes(500_000)])
def test_carries_bytes(serving: Serving, data: bytes) -> None:
    with serving({"/s/Echo": Unary(echo)}) as caller:
        assert caller.raw("/s/Echo", data) == data


def test_carries_failures_with_their_details(serving: Serving) -> None:
    with serving({"/s/Fail": Unary(fail)}) as caller:
        failed = failure_of(caller, "/s/Fail", "not here ☃".encode())
        assert failed.code() is grpc.StatusCode.NOT_FOUND
        assert failed.details() == "not here ☃"
        assert details(failed) == [b"details"]


def test_a_defect_is_logged_and_not_told(
    serving: Serving, caplog: pytest.LogCaptureFixture
) -> None:
    with serving({"/s/Break": Unary(break_down)}) as caller:
        failed = failure_of(caller, "/s/Break")
        assert failed.code() is grpc.StatusCode.INTERNAL
        assert "secret" not in (failed.details() or "")
    (record,) = [one for one in caplog.records if one.levelno == logging.ERROR]
    assert record.exc_info is not None


def test_an_unknown_method_is_unimplemented(serving: Serving) -> None:
    with serving({}) as caller:
        assert failure_of(caller, "/s/Nothing").code() is grpc.StatusCode.UNIMPLEMENTED


def test_a_message_past_the_limit_never_reaches_its_handler(serving: Serving) -> None:
    with serving({"/s/Echo": Unary(echo)}, Limits(message_bytes=1024)) as caller:
        failed = failure_of(caller, "/s/Echo", bytes(2000))
        assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED


@pytest.mark.parametrize("most", [16 * 1024, 128 * 1024])
def test_header_fields_are_taken_up_to_the_limit_and_refused_past_it(
    serving: Serving, most: int
) -> None:
    """Each time, and by no chance; what is refused leaves the connection as it was."""
    with serving({"/s/Echo": Unary(echo)}, Limits(header_bytes=most)) as caller:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = caller.channel.unary_unary("/s/Echo")
        for _ in range(20):
            long = (("long", "x" * (most - 1024)),)
            assert method(b"few", timeout=PATIENCE, metadata=long) == b"few"
            with pytest.raises(grpc.RpcError) as caught:
                method(b"many", timeout=PATIENCE, metadata=(("long", "x" * most),))
            failed: object = caught.value
            assert isinstance(failed, grpc.Call)
            assert failed.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert "metadata size exceeds" in (failed.details() or "")


def test_a_handler_sees_metadata_and_deadline(serving: Serving) -> None:
    seen: list[tuple[object, float | None]] = []

    def look(data: bytes, call: Call) -> bytes:
        seen.append((call.metadata().get("traceparent"), call.time_remaining()))
        return data

    with serving({"/s/Look": Unary(look)}) as caller:
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = caller.channel.unary_unary("/s/Look")
        method(b"", timeout=PATIENCE, metadata=(("traceparent", "00-ab"),))
        method(b"")
    (first, remaining), (second, unbounded) = seen
    assert (first, second) == ("00-ab", None)
    assert remaining is not None
    assert remaining > 0
    assert unbounded is None


def exchange(caller: Caller, method: str, *messages: bytes) -> Iterator[bytes]:
    stream: grpc.StreamStreamMultiCallable[bytes, bytes] = caller.channel.stream_stream(method)
    return iter(stream(iter(messages), timeout=PATIENCE))


def test_an_exchange_answers_each_message_in_order(serving: Serving) -> None:
    with serving({"/s/Chat": Exchange(echo)}) as caller:
        assert list(exchange(caller, "/s/Chat", b"a", b"", b"c")) == [b"a", b"", b"c"]
        assert list(exchange(caller, "/s/Chat")) == []


def test_an_exchange_ends_with_a_failure(serving: Serving) -> None:
    with serving({"/s/Chat": Exchange(fail)}) as caller:
        with pytest.raises(grpc.RpcError) as caught:
            list(exchange(caller, "/s/Chat", b"a"))
        assert caught.value.code() is grpc.StatusCode.NOT_FOUND


class Bell:
    """Something to watch."""

    def __init__(self) -> None:
        self.watchers: list[Send] = []
        self.left = threading.Semaphore(0)

    def subscribe(self, data: bytes, send: Send) -> Unsubscribe:
        if data == b"no":
            raise CallFailed(StatusCode.INVALID_ARGUMENT, "no")
        send(b"hello " + data)
        self.watchers.append(send)
        return self.left.release


def watch(caller: Caller, data: bytes) -> Iterator[bytes]:
    method: grpc.UnaryStreamMultiCallable[bytes, bytes] = caller.channel.unary_stream("/s/Watch")
    return iter(method(data, timeout=PATIENCE))


def test_a_watch_sends_until_the_caller_goes_away(serving: Serving) -> None:
    bell = Bell()
    with serving({"/s/Watch": Watch(bell.subscribe)}) as caller:
        watching = watch(caller, b"you")
        assert next(watching) == b"hello you"
        bell.watchers[0](b"ring")
        assert next(watching) == b"ring"
        assert isinstance(watching, grpc.Call)
        watching.cancel()
        assert bell.left.acquire(timeout=PATIENCE)


def test_a_watch_can_be_refused(serving: Serving) -> None:
    with serving({"/s/Watch": Watch(Bell().subscribe)}) as caller:
        with pytest.raises(grpc.RpcError) as caught:
            next(watch(caller, b"no"))
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT


def test_a_stop_ends_watches(serving: Serving) -> None:
    bell = Bell()
    with serving({"/s/Watch": Watch(bell.subscribe)}) as caller:
        assert next(watch(caller, b"you")) == b"hello you"
    assert bell.left.acquire(timeout=PATIENCE)


def test_surplus_streams_are_told_and_unary_calls_go_on(serving: Serving) -> None:
    bell = Bell()
    methods: Methods = {"/s/Watch": Watch(bell.subscribe), "/s/Echo": Unary(echo)}
    with serving(methods, Limits(streams=2, threads=1)) as caller:
        first, second = watch(caller, b"1"), watch(caller, b"2")
        assert (next(first), next(second)) == (b"hello 1", b"hello 2")
        for _ in range(5):
            surplus = watch(caller, b"3")
            with pytest.raises(grpc.RpcError):
                next(surplus)
            assert isinstance(surplus, grpc.Call)
            assert surplus.code() is grpc.StatusCode.RESOURCE_EXHAUSTED
            assert details(surplus) == [b"details"]
        assert caller.raw("/s/Echo", b"x") == b"x"
        assert isinstance(first, grpc.Call)
        first.cancel()
        assert bell.left.acquire(timeout=PATIENCE)


def test_an_address_that_is_no_address_of_this_machine_cannot_be_bound(
    make: TransportFactory,
) -> None:
    transport = make({}, Limits(), SURPLUS)
    with pytest.raises(BindFailed):
        transport.bind("192.0.2.1:1")


def test_listens_on_a_unix_socket(make: TransportFactory, tmp_path: Path) -> None:
    transport = make({"/s/Echo": Unary(echo)}, Limits(), SURPLUS)
    address = transport.bind(f"unix:{tmp_path}/s")
    transport.start()
    with Caller(address) as caller:
        assert caller.raw("/s/Echo", b"x") == b"x"
    transport.stop(grace=0)
