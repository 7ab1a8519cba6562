"""Tests at each start, over a real socket, whether the event transport works with this grpcio.

The layer below is private to grpcio, so another release may change it. If a test fails, the daemon
serves over the standard transport, and logs that.
"""

from __future__ import annotations

import secrets
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TypeAlias

import grpc

from policyd.config.limits import Limits
from policyd.pdp.calls import Call, CallFailed, Deferred, StatusCode
from policyd.server.transport.interface import (
    Exchange,
    Methods,
    Send,
    TransportFactory,
    Unary,
    Unsubscribe,
    Watch,
)

_UnaryCall: TypeAlias = "grpc.UnaryUnaryMultiCallable[bytes, bytes]"

#: The time limit of one step, in seconds; far more than a step needs.
PATIENCE = 2.0
_FAILED = CallFailed(StatusCode.INVALID_ARGUMENT, "refused", b"details")
_SURPLUS = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "surplus")


class _Unfit(Exception):
    """A step failed."""


def problem_of(make: TransportFactory) -> str | None:
    """Test a transport, and return the problem, or `None`."""
    try:
        # An abstract socket needs no writable folder, and there may be none.
        _try(make, f"unix-abstract:policyd-{secrets.token_hex(16)}")
    except _Unfit as unfit:
        return str(unfit)
    except Exception as error:
        # Any exception: a layer that fails in an unforeseen way must not serve.
        return f"{type(error).__name__}: {error}"
    return None


def _try(make: TransportFactory, address: str) -> None:
    probe = _Probe()
    transport = make(probe.methods(), Limits(streams=1), _SURPLUS)
    transport.bind(address)
    transport.start()
    try:
        with grpc.insecure_channel(address) as channel:
            _try_unary(channel)
            _try_exchange(channel)
            _try_watch(channel, probe)
    finally:
        stopping = threading.Thread(target=transport.stop, args=(0.1,), daemon=True)
        stopping.start()
        stopping.join(PATIENCE)
    _expect("stops", not stopping.is_alive())


def _try_unary(channel: grpc.Channel) -> None:
    echo: _UnaryCall = channel.unary_unary("/try/Echo")
    answer = echo(b"a", timeout=PATIENCE, metadata=(("policyd-try", "b"),))
    _expect("answers a unary call", answer == b"ab1")
    with _refusal("refuses a call") as error:
        fail: _UnaryCall = channel.unary_unary("/try/Fail")
        fail(b"", timeout=PATIENCE)
    trailers = {item.key: item.value for item in error[0].trailing_metadata() or ()}
    _expect("says why", error[0].code() is grpc.StatusCode.INVALID_ARGUMENT)
    _expect("carries details", trailers.get("grpc-status-details-bin") == _FAILED.details)
    with _refusal("refuses an unknown method") as error:
        unknown: _UnaryCall = channel.unary_unary("/try/None")
        unknown(b"", timeout=PATIENCE)
    _expect("knows its methods", error[0].code() is grpc.StatusCode.UNIMPLEMENTED)
    later: _UnaryCall = channel.unary_unary("/try/Later")
    _expect("answers later", later(b"a", timeout=PATIENCE) == b"a")


def _try_exchange(channel: grpc.Channel) -> None:
    exchange: grpc.StreamStreamMultiCallable[bytes, bytes]
    exchange = channel.stream_stream("/try/Exchange")
    answers = list(exchange(iter([b"a", b"b"]), timeout=PATIENCE))
    _expect("answers a stream", answers == [b"a", b"b"])


def _try_watch(channel: grpc.Channel, probe: _Probe) -> None:
    method: grpc.UnaryStreamMultiCallable[bytes, bytes] = channel.unary_stream("/try/Watch")
    watch = method(b"a", timeout=PATIENCE)
    _expect("sends at once", next(watch) == b"a")
    probe.sends[0](b"b")
    _expect("sends later", next(watch) == b"b")
    with _refusal("bounds streams") as error:
        next(method(b"a", timeout=PATIENCE))
    _expect("says that there are too many", error[0].code() is grpc.StatusCode.RESOURCE_EXHAUSTED)
    watch.cancel()
    _expect("hears a cancellation", probe.unsubscribed.wait(PATIENCE))


class _Probe:
    """The methods of the test."""

    def __init__(self) -> None:
        self.sends: list[Send] = []
        self.unsubscribed = threading.Event()

    def methods(self) -> Methods:
        return {
            "/try/Echo": Unary(_echo),
            "/try/Fail": Unary(_fail),
            "/try/Later": Unary(_answer_later, waits=True),
            "/try/Exchange": Exchange(lambda message, _call: message),
            "/try/Watch": Watch(self._subscribe),
        }

    def _subscribe(self, request: bytes, send: Send) -> Unsubscribe:
        self.sends.append(send)
        send(request)
        return self.unsubscribed.set


def _echo(message: bytes, call: Call) -> bytes:
    remaining = call.time_remaining()
    timed = b"1" if remaining is not None and 0 < remaining < 2 * PATIENCE else b"0"
    return message + str(call.metadata().get("policyd-try")).encode() + timed


def _answer_later(message: bytes, _call: Call) -> Deferred[bytes]:
    return Deferred(lambda deliver: threading.Thread(target=deliver, args=(message,)).start())


def _fail(_message: bytes, _call: Call) -> bytes:
    raise _FAILED


@contextmanager
def _refusal(what: str) -> Iterator[list[grpc.RpcError]]:
    caught: list[grpc.RpcError] = []
    try:
        yield caught
    except grpc.RpcError as error:
        caught.append(error)
    if not caught:
        raise _Unfit(f"it does not do this: {what}")


def _expect(what: str, holds: bool) -> None:
    if not holds:
        raise _Unfit(f"it does not do this: {what}")
