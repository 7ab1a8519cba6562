"""In a flood of connections, the kernel drops half of the requests for one."""

from __future__ import annotations

import logging
import select
import socket
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field

import pytest

from policyd.pdp.counters import ConnectionCounter, PortFigures
from policyd.server.admission import Admission
from policyd.server.connections import Connections
from policyd.server.sockets import LISTENS, Kernel, Tcp

#: Requests of which half are dropped: that all or none are comes to pass once in 2**200 times.
MANY = 200


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0), backlog=2 * MANY) as server:
        yield server


@pytest.fixture
def listener_of_six() -> Iterator[socket.socket]:
    address = ("::1", 0)
    with socket.create_server(address, family=socket.AF_INET6, backlog=2 * MANY) as server:
        yield server


def tcp(server: socket.socket) -> Tcp:
    """Return a listening socket as the kernel knows it."""
    (found,) = (
        one
        for one in Kernel().tcp_sockets()
        if one.state == LISTENS and one.descriptor == server.fileno()
    )
    return found


def connected(server: socket.socket, stack: ExitStack, count: int = MANY) -> int:
    """Return how many of so many callers connect within a moment: over loopback at once."""
    callers = []
    for _ in range(count):
        caller = stack.enter_context(socket.socket(server.family))
        caller.setblocking(False)
        caller.connect_ex(server.getsockname())
        callers.append(caller)
    ready = select.poll()  # `select.select` takes no descriptors past 1,023
    for caller in callers:
        ready.register(caller, select.POLLOUT)
    return len(ready.poll(0))


@pytest.mark.parametrize("name", ["listener", "listener_of_six"])
def test_a_part_of_the_requests_is_dropped_until_all_are_let_in(
    name: str, request: pytest.FixtureRequest
) -> None:
    server: socket.socket = request.getfixturevalue(name)
    with ExitStack() as stack:
        tcp(server).admit(0.5)
        assert 0 < connected(server, stack) < MANY
        tcp(server).admit(1.0)
        assert connected(server, stack) == MANY


def test_none_is_let_in_where_the_part_is_none(listener: socket.socket) -> None:
    with ExitStack() as stack:
        tcp(listener).admit(0.0)
        assert connected(listener, stack) == 0


def test_who_is_connected_notices_nothing(listener: socket.socket) -> None:
    with socket.create_connection(listener.getsockname()) as caller:
        accepted, _ = listener.accept()
        tcp(listener).admit(0.0)
        caller.sendall(b"question")
        assert accepted.recv(8) == b"question"
        accepted.sendall(b"answer")
        assert caller.recv(6) == b"answer"
        accepted.close()


def test_who_is_let_in_past_the_filter_is_served(listener: socket.socket) -> None:
    with ExitStack() as stack:
        tcp(listener).admit(0.5)
        while True:
            caller = stack.enter_context(socket.socket())
            caller.setblocking(False)
            caller.connect_ex(listener.getsockname())
            ready = select.poll()
            ready.register(caller, select.POLLOUT)
            if ready.poll(0):
                break
        accepted = stack.enter_context(listener.accept()[0])
        caller.sendall(b"question")
        assert accepted.recv(8) == b"question"


def test_a_socket_that_is_gone_is_an_error(listener: socket.socket) -> None:
    found = tcp(listener)
    listener.close()
    with pytest.raises(OSError, match="descriptor"):
        found.admit(0.5)


@dataclass
class Listening:
    """A listening socket that writes down what it was told."""

    port: int = 1
    broken: bool = False
    told: list[float] = field(default_factory=list)

    def admit(self, part: float) -> None:
        self.told.append(part)
        if self.broken:
            raise PermissionError("no filter")


def governed(listening: Listening) -> Admission:
    return Admission(listening)  # type: ignore[arg-type]  # it is asked for these two alone


def test_while_too_many_are_closed_half_is_let_in_and_then_all() -> None:
    listening = Listening()
    admission = governed(listening)
    held_back = []
    for closed, now in ((0, 10.0), (49, 10.1), (51, 10.2), (400, 10.3), (5, 10.5), (0, 10.6)):
        held_back.append(admission.adjust(closed, now))
        assert admission.holding == (listening.told[-1:] == [0.5])
    assert listening.told == [0.5, 1.0]
    assert held_back == pytest.approx([0, 0, 0, 0.1, 0.2, 0])


def test_a_kernel_that_does_not_filter_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    admission = governed(Listening(port=8181, broken=True))
    with caplog.at_level(logging.WARNING):
        for number in range(4):
            assert admission.adjust(number % 2 * 1000, float(number)) == 0
            assert not admission.holding
    (entry,) = caplog.records
    assert (entry.message, vars(entry)["port"]) == ("the kernel does not hold newcomers back", 8181)


def test_a_flood_of_one_port_is_held_back_at_that_port(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=2 * MANY) as other, ExitStack() as stack:
        ports = [listener.getsockname()[1], other.getsockname()[1]]
        counter = ConnectionCounter()
        connections = Connections(ports, 2, counter)
        connections._await_data()
        connections.look()
        for _ in range(MANY):
            caller = stack.enter_context(socket.create_connection(listener.getsockname()))
            caller.sendall(b"half of a call")
            stack.enter_context(listener.accept()[0])
        assert connections.look() == MANY - 1
        assert connected(listener, stack) < MANY
        assert connected(other, stack) == MANY
        connections.look()
        assert connected(listener, stack) == MANY
        flooded, quiet = (counter.figures[port] for port in ports)
        assert (flooded.closed, flooded.holding, flooded.held_back > 0) == (MANY - 1, False, True)
        assert quiet == PortFigures()
        connections._give_reserve()
