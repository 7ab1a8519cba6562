"""Callers that leave calls open, over each transport: what is theirs ends, others are answered."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import grpc
import pytest

from bench.load import PING, frame
from policyd.config.limits import Limits
from policyd.pdp.calls import Call
from policyd.server.transport.interface import (
    Exchange,
    Methods,
    Send,
    TransportFactory,
    Unary,
    Watch,
)
from scripts.hostile.connection import Raw, framed
from tests.support.daemon import PATIENCE, Caller
from tests.support.transports import SURPLUS

LIMITS = Limits(
    calls=8, streams=4, calls_per_connection=64, receive_timeout=60.0, send_timeout=60.0
)
SHORT = Limits(calls=8, streams=4, receive_timeout=0.2, send_timeout=0.2)
ANSWER = bytes(200_000)


def echo(data: bytes, _call: Call) -> bytes:
    return data


def answer_much(_data: bytes, _call: Call) -> bytes:
    return ANSWER


def subscribe(request: bytes, send: Send) -> Callable[[], None]:
    send(ANSWER)
    return lambda: None


METHODS: Methods = {
    "/s/Echo": Unary(echo),
    "/s/Much": Unary(answer_much),
    "/s/Health": Unary(echo, apart=True),
    "/s/Exchange": Exchange(echo),
    "/s/Watch": Watch(subscribe),
}


@contextmanager
def served(make: TransportFactory, limits: Limits) -> Iterator[tuple[Caller, tuple[str, int]]]:
    """Serve, and give an honest caller, and the address for others."""
    transport = make(METHODS, limits, SURPLUS)
    address = transport.bind("127.0.0.1:0")
    transport.start()
    host, _, port = address.rpartition(":")
    try:
        with Caller(address) as caller:
            yield caller, (host, int(port))
    finally:
        transport.stop(grace=0)


@contextmanager
def raw(address: tuple[str, int], window: int | None = None) -> Iterator[Raw]:
    connection = Raw(address, window=window)
    try:
        yield connection
    finally:
        connection.reset()


def half_open(connection: Raw) -> None:
    connection.headers("/s/Echo")


def one_byte_short(connection: Raw) -> None:
    connection.headers("/s/Echo")
    connection.data(framed(bytes(100))[:-1], end=False)


def never_read(connection: Raw) -> None:
    connection.call("/s/Much", framed(b""))


@pytest.mark.parametrize("leave_open", [half_open, one_byte_short, never_read])
def test_calls_left_open_give_way(
    make: TransportFactory, leave_open: Callable[[Raw], None]
) -> None:
    with served(make, LIMITS) as (caller, address), raw(address, window=0) as held:
        for _ in range(40):
            leave_open(held)
        held.send()
        for number in range(20):
            assert caller.raw("/s/Echo", b"%d" % number) == b"%d" % number
            assert caller.raw("/s/Health", b"") == b""
        held.until_ended(40 - LIMITS.calls, PATIENCE)
        assert held.ended >= 40 - LIMITS.calls


@pytest.mark.parametrize("leave_open", [half_open, one_byte_short, never_read])
def test_calls_left_open_have_their_time(
    make: TransportFactory, leave_open: Callable[[Raw], None]
) -> None:
    with served(make, SHORT) as (caller, address), raw(address, window=0) as held:
        for _ in range(4):
            leave_open(held)
        held.send()
        held.until_ended(4, PATIENCE)
        assert held.ended == 4
        assert caller.raw("/s/Echo", b"a") == b"a"


def test_idle_streams_give_way_to_a_connection_without(make: TransportFactory) -> None:
    with served(make, LIMITS) as (caller, address), raw(address) as held:
        for _ in range(LIMITS.streams):
            held.headers("/s/Exchange")
        held.send()
        held.until_ended(0, 0.0)
        exchange: grpc.StreamStreamMultiCallable[bytes, bytes]
        exchange = caller.channel.stream_stream("/s/Exchange")
        last = threading.Event()

        def ask() -> Iterator[bytes]:
            yield b"a"
            last.wait(PATIENCE)

        call = exchange(ask(), timeout=PATIENCE)
        assert next(call) == b"a"
        last.set()
        assert list(call) == []


def test_a_watch_that_is_not_read_ends(make: TransportFactory) -> None:
    with served(make, SHORT) as (_, address), raw(address, window=0) as held:
        held.call("/s/Watch", framed(b""))
        held.send()
        held.until_ended(1, PATIENCE)
        assert held.ended == 1


def test_a_caller_is_told_how_many_calls_a_connection_bears(make: TransportFactory) -> None:
    with served(make, LIMITS) as (_, address), raw(address) as connection:
        connection.send()
        while not connection.settings:
            connection.hear(PATIENCE)
        # SETTINGS_MAX_CONCURRENT_STREAMS (RFC 9113, section 6.5.2)
        assert connection.settings[3] == LIMITS.calls_per_connection


def test_streams_that_are_reset_at_once_hold_nothing(make: TransportFactory) -> None:
    with served(make, LIMITS) as (caller, address), raw(address) as connection:
        for _ in range(20):
            for _ in range(200):
                connection.headers("/s/Echo")
                connection.cancel()
            connection.send()
            connection.hear()
        for number in range(20):
            assert caller.raw("/s/Echo", b"%d" % number) == b"%d" % number


def test_no_number_of_pings_ends_a_connection(make: TransportFactory) -> None:
    with served(make, LIMITS) as (caller, address), raw(address) as connection:
        for _ in range(50):
            connection.out += frame(PING, 0, 0, bytes(8)) * 10
            connection.send()
        connection.call("/s/Echo", framed(b"a"))
        connection.send()
        connection.until_ended(1, PATIENCE)
        assert connection.ended == 1
        assert caller.raw("/s/Echo", b"b") == b"b"
