"""Of too many connections, those end that were silent longest."""

from __future__ import annotations

import resource
import socket
import struct
import threading
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from policyd.server.connections import Connections, most_connections, raise_descriptor_limit
from policyd.server.sockets import descriptors

Pair = tuple[socket.socket, socket.socket]

#: What a caller says at first, and more than a newcomer does.
HELLO, MUCH = b"PRI *", 4096


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server


@contextmanager
def looking_when_told(server: socket.socket, most: int) -> Iterator[Connections]:
    """Give connections at which no thread looks by itself."""
    connections = Connections([port_of(server)], most)
    yield connections
    connections._give_reserve()


def connect(server: socket.socket, count: int, stack: ExitStack) -> list[Pair]:
    """Return both ends of so many connections, the caller's first, each after some words."""
    pairs = []
    for _ in range(count):
        caller = stack.enter_context(socket.create_connection(server.getsockname()))
        caller.sendall(HELLO)
        accepted, _ = server.accept()
        pairs.append((caller, stack.enter_context(accepted)))
    return pairs


def speak(pair: Pair, size: int) -> None:
    """Have the caller send so many bytes more, and read them."""
    caller, accepted = pair
    caller.sendall(bytes(size))
    left = size + len(HELLO)
    while left:
        left -= len(accepted.recv(left))


def until_silent(pairs: list[Pair]) -> None:
    """Return when the kernel says of all that they were silent for a moment."""
    for _, accepted in pairs:
        while not struct.unpack_from("=52xI", tcp_info(accepted))[0]:
            pass


def tcp_info(accepted: socket.socket) -> bytes:
    return accepted.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 64)


def kept(pairs: list[Pair]) -> int:
    return sum(not is_over(caller) for caller, _ in pairs)


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
    with ExitStack() as stack, looking_when_told(listener, 8) as connections:
        pairs = connect(listener, 8, stack)
        for pair in pairs:
            speak(pair, MUCH)
        connections.look()
        assert kept(pairs) == 8


def test_surplus_ones_end(listener: socket.socket) -> None:
    with ExitStack() as stack, looking_when_told(listener, 8) as connections:
        pairs = connect(listener, 12, stack)
        for pair in pairs:
            speak(pair, MUCH)
        connections.look()
        assert kept(pairs) == 7


def test_only_some_of_those_who_said_little_stay(listener: socket.socket) -> None:
    with ExitStack() as stack, looking_when_told(listener, 40) as connections:
        known = connect(listener, 20, stack)
        for pair in known:
            speak(pair, MUCH)
        new = connect(listener, 30, stack)
        connections.look()
        assert kept(known) == 20
        assert kept(new) in range(18, 21)  # half of 40, or less, since more than one is made free


def test_of_many_places_newcomers_have_a_fifth(listener: socket.socket) -> None:
    with ExitStack() as stack, looking_when_told(listener, 400) as connections:
        new = connect(listener, 90, stack)
        connections.look()
        assert kept(new) in range(70, 81)


def test_a_newcomer_that_the_daemon_has_not_read_or_just_answered_stays(
    listener: socket.socket,
) -> None:
    with ExitStack() as stack, looking_when_told(listener, 10) as connections:
        unread, answered = connect(listener, 2, stack)
        flood = connect(listener, 10, stack)
        for _, accepted in (answered, *flood):
            accepted.recv(len(HELLO))
        until_silent([unread, answered, *flood])
        answered[1].sendall(HELLO)
        connections.look()
        assert not is_over(unread[0])
        assert answered[0].recv(len(HELLO)) == HELLO
        assert not is_over(answered[0])
        assert kept(flood) <= 3


def test_who_said_much_stays_beside_a_flood_that_speaks_later(listener: socket.socket) -> None:
    with ExitStack() as stack, looking_when_told(listener, 10) as connections:
        known = connect(listener, 1, stack)
        speak(known[0], MUCH)
        flood = connect(listener, 30, stack)  # each of them spoke after the one before
        connections.look()
        assert kept(known) == 1
        assert kept(flood) <= 5


def test_newcomers_in_the_place_of_others_are_counted_too(listener: socket.socket) -> None:
    with ExitStack() as stack, looking_when_told(listener, 40) as connections:
        known = connect(listener, 20, stack)
        for pair in known:
            speak(pair, MUCH)
        connections.look()
        for caller, accepted in known:
            caller.close()
            accepted.close()
        new = connect(listener, 30, stack)
        connections.look()
        assert kept(new) in range(18, 21)


def test_what_says_nothing_is_not_even_accepted(listener: socket.socket) -> None:
    with ExitStack() as stack, Connections([port_of(listener)], 8):
        silent = stack.enter_context(socket.create_connection(listener.getsockname()))
        pairs = connect(listener, 1, stack)  # the first that is accepted is this later one
        assert pairs[0][1].getpeername() == pairs[0][0].getsockname()
        assert not is_over(silent)


def test_a_look_leaves_no_descriptor_open(listener: socket.socket) -> None:
    with ExitStack() as stack, looking_when_told(listener, 4) as connections:
        connect(listener, 20, stack)
        connections.look()
        before = len(list(Path("/proc/self/fd").iterdir()))
        connect(listener, 20, stack)
        connections.look()
        assert (
            len(list(Path("/proc/self/fd").iterdir())) <= before + 40
        )  # both ends are in this process


def test_half_of_the_descriptors_are_for_all_else() -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (256, hard))
        assert (most_connections(1000), most_connections(100)) == (128, 100)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def test_connections_to_other_ports_are_let_be(listener: socket.socket) -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as other,
        ExitStack() as stack,
        looking_when_told(listener, 1) as connections,
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


def test_only_its_listeners_await_data(listener: socket.socket) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other, ExitStack() as stack:
        caller, accepted = connect(listener, 1, stack)[0]
        with Connections([port_of(listener)], 8):
            assert awaits_data(listener)
            assert not any(awaits_data(each) for each in (other, caller, accepted))


def awaits_data(one: socket.socket) -> bool:
    return one.getsockopt(socket.IPPROTO_TCP, socket.TCP_DEFER_ACCEPT) > 0


def test_nothing_is_left_of_it(listener: socket.socket) -> None:
    before = set(descriptors())
    with Connections([port_of(listener)], 8):
        assert [thread.daemon for thread in looking()] == [True]
    assert not looking()
    assert set(descriptors()) == before


def looking() -> list[threading.Thread]:
    return [thread for thread in threading.enumerate() if thread.name == "connections"]


def test_what_was_ended_is_not_counted_again(listener: socket.socket) -> None:
    with ExitStack() as stack, looking_when_told(listener, 10) as connections:
        pairs = connect(listener, 12, stack)
        connections.look()
        assert kept(pairs) < len(pairs)
        # Their descriptors are still there, as those that gRPC has still to close.
        assert connections.look() == 0
