"""The benchmark's load counts what was answered, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from bench.load import LoadError, Method, run
from policyd.config.limits import Limits
from policyd.pdp.calls import Call, CallFailed, StatusCode
from policyd.server.transport.event import EventTransport
from policyd.server.transport.interface import Unary

ECHO = Method("/bench.Test/Echo", b"ab")
REFUSAL = CallFailed(StatusCode.INVALID_ARGUMENT, "no")


def _echo(message: bytes, _: Call) -> bytes:
    return message


def _refuse(message: bytes, _: Call) -> bytes:
    raise REFUSAL


@pytest.fixture(scope="module")
def address() -> Iterator[tuple[str, int]]:
    methods = {ECHO.path: Unary(_echo), "/bench.Test/Refuse": Unary(_refuse)}
    transport = EventTransport(methods, Limits(), REFUSAL)
    port = int(transport.bind("127.0.0.1:0").rpartition(":")[2])
    transport.start()
    yield "127.0.0.1", port
    transport.stop(1)


@pytest.mark.parametrize(("connections", "in_flight"), [(1, 1), (1, 32), (3, 8)])
def test_it_counts_each_call_with_its_latency(
    address: tuple[str, int], connections: int, in_flight: int
) -> None:
    messages = [b"ab" * 400, b"abc"]
    measured = run(address, ECHO, messages, calls=500, connections=connections, in_flight=in_flight)
    assert measured.calls == len(measured.latencies) == 500
    assert measured.latencies == sorted(measured.latencies)


def test_it_stops_when_there_was_enough(address: tuple[str, int]) -> None:
    measured = run(address, ECHO, [b"ab"], calls=500, enough=lambda: True)
    assert measured.calls == 0


@pytest.mark.parametrize(
    ("method", "problem"),
    [
        (ECHO._replace(expected=b"ALLOWED"), "without the expected answer"),
        (Method("/bench.Test/Refuse"), "without the expected answer"),
        (Method("/bench.Test/None"), "without the expected answer"),
    ],
)
def test_a_call_that_fails_is_not_counted(
    address: tuple[str, int], method: Method, problem: str
) -> None:
    with pytest.raises(LoadError, match=problem):
        run(address, method, [b"ab"], calls=10)
