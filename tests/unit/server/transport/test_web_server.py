"""The server over HTTP: what its callers can hold, who gives way, and how it ends."""

from __future__ import annotations

import gc
import socket
import ssl
import threading
import time
import tracemalloc
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from policyd.config.tls_files import Identity
from policyd.pdp.calls import CallFailed, Deferred, Deliver
from policyd.server.transport.web import WebAnswer, WebRequest, WebResponse
from policyd.server.transport.web_connection import WebConnection, WebLimits
from policyd.server.transport.web_server import WebServer
from tests.support.certificates import Authority

PATIENCE = 30.0
GET = b"GET /a HTTP/1.1\r\nHost: a\r\n\r\n"
LIMITS = WebLimits(body_bytes=200_000, receive_timeout=0.5, send_timeout=0.5, idle=0.0)


class Echo:
    """Answers with the body; `hold` makes it wait, and a path names what else it does."""

    def __init__(self) -> None:
        self.asked: list[WebRequest] = []
        self.held: list[Deliver[WebResponse]] = []
        self.came = threading.Semaphore(0)
        self.gate = threading.Event()
        self.gate.set()

    def answer(self, request: WebRequest) -> WebAnswer:
        self.asked.append(request)
        self.came.release()
        if request.path == "/later":
            return Deferred(self.held.append)
        if request.path == "/fails":
            raise RuntimeError("a defect")
        if request.path == "/large":
            return WebResponse(200, b"x" * 20_000_000)
        self.gate.wait(PATIENCE)
        return WebResponse(200, request.body)

    def failed(self, request: WebRequest, failed: CallFailed) -> WebResponse:
        return WebResponse(500, failed.message.encode())


@contextmanager
def serving(
    service: Echo, limits: WebLimits = LIMITS, identity: Callable[[], Identity] | None = None
) -> Iterator[tuple[WebServer, int]]:
    listening = socket.socket()
    listening.bind(("127.0.0.1", 0))
    server = WebServer(limits)
    server.listen(listening, service, identity)
    server.start()
    try:
        yield server, listening.getsockname()[1]
    finally:
        server.stop(1)


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def until_end(connection: socket.socket) -> bytes:
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:
        pass
    return b"".join(parts)


def wait_until(holds: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not holds():
        assert time.monotonic() < until
        threading.Event().wait(0.01)


def post(size: int, sent: int | None = None) -> bytes:
    head = f"POST /a HTTP/1.1\r\nHost: a\r\nContent-Length: {size}\r\n\r\n"
    return head.encode() + b"x" * (size if sent is None else sent)


def test_a_request_that_does_not_come_whole_is_told_so() -> None:
    with serving(Echo()) as (_, port):
        for data in (GET[:10], post(100, 50), GET + GET[:5]):
            with connect(port) as connection:
                connection.sendall(data)
                assert b"HTTP/1.1 408 " in until_end(connection)


def test_an_answer_that_is_not_taken_ends_its_connection() -> None:
    service = Echo()
    with serving(service) as (server, port), connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        assert service.came.acquire(timeout=PATIENCE)
        wait_until(lambda: server.connections == 0)
        assert len(until_end(connection)) < 20_000_000


def test_of_too_many_connections_the_one_that_waits_longest_gives_way() -> None:
    limits = WebLimits(connections=3)
    with serving(Echo(), limits) as (_, port):
        first, second, third = (connect(port) for _ in range(3))
        for connection in (second, third, first):  # `second` was heard of first
            connection.sendall(GET)
            assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        with connect(port) as fourth:
            fourth.sendall(GET)
            assert fourth.recv(4096).startswith(b"HTTP/1.1 200")
            assert until_end(second) == b""
            for connection in (third, first):
                connection.sendall(GET)
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        for connection in (first, second, third):
            connection.close()


def test_as_many_as_there_is_room_for_may_come_at_once() -> None:
    with serving(Echo(), WebLimits(connections=3)) as (server, port):
        for _ in range(20):
            wait_until(lambda: not server.connections)
            burst = [connect(port) for _ in range(3)]
            for connection in burst:
                connection.sendall(GET)
            for connection in burst:
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
                connection.close()


def test_who_is_being_answered_does_not_give_way() -> None:
    service = Echo()
    with serving(service, WebLimits(connections=2)) as (_, port):
        waiting = [connect(port) for _ in range(2)]
        for connection in waiting:
            connection.sendall(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
            assert service.came.acquire(timeout=PATIENCE)
        with connect(port) as refused:
            assert until_end(refused) == b""
        for deliver in service.held:
            deliver(WebResponse(200, b"later"))
        for connection in waiting:
            assert connection.recv(4096).endswith(b"later")
            connection.close()


def test_who_waits_for_a_turn_gives_way_where_nobody_else_does() -> None:
    service = Echo()
    with serving(service, WebLimits(connections=2)) as (server, port):
        service.gate.clear()
        turn, waits = connect(port), connect(port)
        turn.sendall(post(100_000))
        assert service.came.acquire(timeout=PATIENCE)
        waits.sendall(post(50_000))
        wait_until(lambda: server.held >= 150_000)
        with connect(port) as newcomer:
            newcomer.sendall(GET.replace(b"/a", b"/later"))
            assert service.came.acquire(timeout=PATIENCE)
            assert until_end(waits) == b""
        service.gate.set()
        assert turn.recv(4096).startswith(b"HTTP/1.1 200")
        for connection in (turn, waits):
            connection.close()


def test_of_too_many_bytes_the_connection_that_holds_most_gives_way() -> None:
    limits = WebLimits(body_bytes=200_000, unfinished_bytes=300_000)
    with serving(Echo(), limits) as (server, port):
        small, large, newest = (connect(port) for _ in range(3))
        small.sendall(post(60_000, 50_000))
        large.sendall(post(200_000, 190_000))
        wait_until(lambda: server.held >= 240_000)
        newest.sendall(post(100_000))
        assert newest.recv(4096).startswith(b"HTTP/1.1 200")
        assert until_end(large) == b""
        small.sendall(b"x" * 10_000)
        assert small.recv(4096).startswith(b"HTTP/1.1 200")
        for connection in (small, large, newest):
            connection.close()


def test_heads_count_as_bodies_do() -> None:
    limits = WebLimits(unfinished_bytes=300_000)
    head = b"GET /a HTTP/1.1\r\nHost: a\r\n" + b"a: " + b"x" * 1000 + b"\r\n"
    with serving(Echo(), limits) as (server, port):
        held = [connect(port) for _ in range(10)]
        for connection in held:
            connection.sendall(head + (b"b: " + b"x" * 1000 + b"\r\n") * 50 + b"c: " + b"x" * 9000)
        wait_until(lambda: server.connections <= 5)
        for connection in held:
            connection.close()
        wait_until(lambda: server.connections == 0)
        assert server.held == 0


def test_what_was_counted_is_counted_out_with_its_answer() -> None:
    service = Echo()
    with serving(service) as (server, port), connect(port) as connection:
        connection.sendall(GET.replace(b"/a", b"/later") + post(9_000) + GET)
        wait_until(lambda: len(service.held) == 1 and server.held > 9_000)
        service.held[0](WebResponse(200, b"later"))
        found = b""
        while found.count(b"HTTP/1.1 200") < 3:
            found += connection.recv(65536)
        wait_until(lambda: server.held == 0)


def connection_objects() -> int:
    return sum(isinstance(one, WebConnection) for one in gc.get_objects())


def test_a_connection_that_ended_needs_no_collector() -> None:
    gc.collect()
    before = connection_objects()
    gc.disable()
    try:
        with serving(Echo()) as (_, port):
            for data in (GET, post(100_000, 50_000), b"no request\r\n\r\n"):
                with connect(port) as connection:
                    connection.sendall(data)
                    if data == GET:
                        assert connection.recv(4096).startswith(b"HTTP/1.1 200")
            wait_until(lambda: connection_objects() <= before)
    finally:
        gc.enable()


def chunked(size: int, count: int) -> bytes:
    chunk = b"%x\r\n" % size + b"x" * size + b"\r\n"
    head = b"POST /a HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n"
    return head + chunk * count + b"0\r\n\r\n"


@pytest.mark.parametrize(
    ("size", "count", "status"),
    [(1, 900, 200), (1, 2_000, 400), (100, 1_990, 200), (8, 9_000, 400)],
)
def test_a_body_of_many_small_chunks_is_refused(size: int, count: int, status: int) -> None:
    with serving(Echo()) as (_, port), connect(port) as connection:
        connection.sendall(chunked(size, count))
        assert connection.recv(65536).startswith(b"HTTP/1.1 %d" % status)


def test_large_bodies_wait_for_each_other_and_for_nobody_else() -> None:
    service = Echo()
    with serving(service) as (_, port), connect(port) as large, connect(port) as other:
        service.gate.clear()
        large.sendall(post(100_000))
        assert service.came.acquire(timeout=PATIENCE)
        other.sendall(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        assert service.came.acquire(timeout=PATIENCE)
        service.held[0](WebResponse(200, b"first"))
        assert other.recv(4096).endswith(b"first")
        service.gate.set()
        assert large.recv(4096).startswith(b"HTTP/1.1 200")
        assert [request.path for request in service.asked] == ["/a", "/later"]


def test_a_defect_is_told_in_the_services_words() -> None:
    with serving(Echo()) as (_, port), connect(port) as connection:
        connection.sendall(b"GET /fails HTTP/1.1\r\nHost: a\r\n\r\n")
        told = connection.recv(4096)
        assert told.startswith(b"HTTP/1.1 500 ")
        assert b"a defect" not in told
        connection.sendall(GET)
        assert connection.recv(4096).startswith(b"HTTP/1.1 200")


def test_a_stop_waits_for_answers_and_no_longer_than_its_time() -> None:
    service = Echo()
    with serving(service) as (server, port), connect(port) as patient, connect(port) as idle:
        patient.sendall(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        assert service.came.acquire(timeout=PATIENCE)
        stopping = threading.Thread(target=server.stop, args=(PATIENCE,))
        stopping.start()
        assert until_end(idle) == b""
        service.held[0](WebResponse(200, b"last"))
        told = until_end(patient)
        assert told.endswith(b"last")
        assert b"Connection: close" in told
        stopping.join(PATIENCE)
        assert not stopping.is_alive()
    with serving(service) as (server, port), connect(port) as stuck:
        stuck.sendall(b"GET /later HTTP/1.1\r\nHost: a\r\n\r\n")
        assert service.came.acquire(timeout=PATIENCE)
        server.stop(0)
        assert until_end(stuck) == b""
        service.held[-1](WebResponse(200))  # to nobody


def test_a_handshake_shows_the_identity_that_is_current(tmp_path: Path) -> None:
    authorities = [Authority(), Authority()]
    pairs = [authority.issue("localhost") for authority in authorities]
    shown = [Identity(pair.certificate, pair.key) for pair in pairs]
    current = [shown[0]]
    with serving(Echo(), LIMITS, lambda: current[0]) as (_, port):
        for number in (0, 1):
            current[0] = shown[number]
            trusted = tmp_path / "ca.pem"
            trusted.write_bytes(authorities[number].certificate)
            context = ssl.create_default_context(cafile=str(trusted))
            with context.wrap_socket(connect(port), server_hostname="localhost") as connection:
                connection.sendall(GET)
                assert connection.recv(4096).startswith(b"HTTP/1.1 200")
        with connect(port) as plain:
            plain.sendall(GET)
            assert b"HTTP" not in until_end(plain)


def test_a_caller_over_tls_takes_little_memory_and_may_send_much() -> None:
    pair = Authority().issue("localhost")
    identity = Identity(pair.certificate, pair.key)
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        serving(Echo(), LIMITS, lambda: identity) as (_, port),
        context.wrap_socket(connect(port)) as connection,
    ):
        tracemalloc.start()
        try:
            before, _ = tracemalloc.get_traced_memory()
            with context.wrap_socket(connect(port)) as other:
                assert tracemalloc.get_traced_memory()[0] - before < 128 * 1024
                other.sendall(GET)
                assert other.recv(4096).startswith(b"HTTP/1.1 200")
        finally:
            tracemalloc.stop()
        connection.sendall(post(150_000))
        found = b""
        while len(found) < 150_000:
            found += connection.recv(65536)
        assert found.startswith(b"HTTP/1.1 200")


@pytest.mark.parametrize("upgrade", ["h2c", "websocket"])
def test_nothing_is_upgraded(upgrade: str) -> None:
    with serving(Echo()) as (_, port), connect(port) as connection:
        fields = f"Host: a\r\nConnection: Upgrade\r\nUpgrade: {upgrade}\r\n\r\n"
        connection.sendall(f"GET /a HTTP/1.1\r\n{fields}PRI".encode())
        told = until_end(connection)
        assert told.startswith(b"HTTP/1.1 200 ")
        assert b"Connection: close" in told
