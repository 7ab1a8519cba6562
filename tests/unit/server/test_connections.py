"""Of too many connections, those end that were silent longest."""

from __future__ import annotations

import resource
import socket
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from policyd.server.connections import Connections, raise_descriptor_limit

Pair = tuple[socket.socket, socket.socket]


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


def connect(server: socket.socket, count: int, stack: ExitStack) -> list[Pair]:
    """Return both ends of so many connections, the caller's first."""
    pairs = []
    for _ in range(count):
        caller = stack.enter_context(socket.create_connection(server.getsockname()))
        accepted, _ = server.accept()
        pairs.append((caller, stack.enter_context(accepted)))
    return pairs


def is_over(caller: socket.socket) -> bool:
    caller.setblocking(False)
    try:
        return caller.recv(1) == b""
    except BlockingIOError:
        return False


def port_of(server: socket.socket) -> int:
    port: int = server.getsockname()[1]
    return port


def test_as_many_as_are_allowed_stay(listener: socket.socket) -> None:
    with ExitStack() as stack, Connections([port_of(listener)], 8) as connections:
        pairs = connect(listener, 8, stack)
        connections.look()
        assert not any(is_over(caller) for caller, _ in pairs)


def test_surplus_ones_end(listener: socket.socket) -> None:
    connections = Connections([port_of(listener)], 8)
    with ExitStack() as stack, connections:
        pairs = connect(listener, 12, stack)
        connections.look()
        # The thread of the context may have looked before, at fewer.
        assert sum(not is_over(caller) for caller, _ in pairs) in (7, 8)


def test_connections_to_other_ports_are_let_be(listener: socket.socket) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        ExitStack() as stack,
        Connections([port_of(listener)], 1) as connections,
    ):
        pairs = connect(other, 8, stack)
        assert connections.look() == 0
        assert not any(is_over(caller) for caller, _ in pairs)


def test_the_limit_of_descriptors_is_raised_to_what_is_allowed() -> None:
    before = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (before[0] - 1, before[1]))
        assert raise_descriptor_limit() == before[1]
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (before[1], before[1])
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
