"""The HTTP server over real sockets: what it answers, what it refuses, and whom it outlasts."""

from __future__ import annotations

import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from http import HTTPStatus
from http.client import HTTPResponse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from policyd.config.addresses import TcpAddress, UnixAddress
from policyd.server.http.server import HttpServer, Request, Response, plain
from policyd.server.sockets import descriptors
from policyd.server.transport.interface import BindFailed

PATIENCE = 30.0
#: More bytes than kernels keep for a connection.
LARGE = 32_000_000
LOOPBACK = TcpAddress("127.0.0.1", 0)


def answer(request: Request) -> Response:
    match request.path:
        case "/large":
            return Response(HTTPStatus.OK, "text/plain", b"x" * LARGE)
        case "/defect":
            raise ZeroDivisionError
        case "/":
            return Response(HTTPStatus.OK, "text/plain", f"host {request.host}".encode())
        case _:
            return plain(HTTPStatus.NOT_FOUND)


@contextmanager
def serving(patience: float = 10 * PATIENCE) -> Iterator[int]:
    """Run a server; yield its port. Its clients lose patience first, and their test fails."""
    server = HttpServer(answer, patience)
    port = int(server.bind(LOOPBACK).rpartition(":")[2])
    server.start()
    try:
        yield port
    finally:
        server.stop()


@pytest.fixture(scope="module")
def port() -> Iterator[int]:
    with serving() as number:
        yield number


def connect(port: int) -> socket.socket:
    return socket.create_connection(("127.0.0.1", port), PATIENCE)


def exchange(port: int, data: bytes) -> tuple[int, dict[str, str], bytes]:
    """Send bytes; return status, header and body of what comes back."""
    with connect(port) as connection:
        connection.sendall(data)
        return read(connection)


def read(connection: socket.socket, method: str = "GET") -> tuple[int, dict[str, str], bytes]:
    with HTTPResponse(connection, method=method) as response:
        response.begin()
        return response.status, {k.lower(): v for k, v in response.getheaders()}, response.read()


def get(port: int, path: str = "/") -> tuple[int, dict[str, str], bytes]:
    return exchange(port, f"GET {path} HTTP/1.1\r\nHost: here\r\n\r\n".encode())


def test_answers_a_request(port: int) -> None:
    status, header, body = get(port, "/?query=1")
    assert (status, body) == (200, b"host here")
    assert header.pop("date").endswith(" GMT")
    assert header == {
        "content-type": "text/plain",
        "content-length": "9",
        "x-content-type-options": "nosniff",
        "connection": "close",
    }


def test_answers_head_without_the_body(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"HEAD / HTTP/1.1\r\nhost:\there \r\n\r\n")
        data = b""
        while received := connection.recv(65536):
            data += received
    head, _, body = data.partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 200 OK\r\n")
    assert b"Content-Length: 9" in head
    assert body == b""


def test_speaks_to_those_of_1996(port: int) -> None:
    assert exchange(port, b"GET / HTTP/1.0\r\n\r\n")[2] == b"host "


@pytest.mark.parametrize("length", ["0", " 0 "])
def test_no_body_may_be_announced(port: int, length: str) -> None:
    data = f"GET / HTTP/1.1\r\nHost: a\r\nContent-Length:{length}\r\n\r\n".encode()
    assert exchange(port, data)[::2] == (200, b"host a")


def test_answers_whoever_has_said_all(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: here\r\n\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert len(read(connection)[2]) == LARGE


@pytest.mark.parametrize(
    "head",
    [
        "GET /",
        "GET / HTTP/1.1 x",
        "GET / HTTP/2.0",
        "GET  / HTTP/1.1",
        "GET http://here/ HTTP/1.1",
        "GET * HTTP/1.1",
        "GET /\x00 HTTP/1.1",
        "GET /\xe9 HTTP/1.1",
        "\r\n\r\n",
        "GET / HTTP/1.1",
        "GET / HTTP/1.1\r\nHost: a\r\nHost: a",
        "GET / HTTP/1.1\r\nHost : a",
        "GET / HTTP/1.1\r\nHost: a\r\n folded",
        "GET / HTTP/1.1\r\nHost: a\nX: b",
        "GET / HTTP/1.1\r\nHost: a\r\nContent-Length: 1",
        "GET / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked",
        "\x16\x03\x01",
    ],
)
def test_refuses_what_is_no_request_of_its_kind(port: int, head: str) -> None:
    status, _, body = exchange(port, f"{head}\r\n\r\n".encode("latin-1"))
    assert (status, body) == (400, b"Bad Request\n")


@given(
    st.one_of(
        st.binary(max_size=200),
        st.lists(
            st.sampled_from(
                [b"GET ", b"/", b" HTTP/1.1", b"\r\n", b"Host: a", b":", b"\x00", b"\xff"]
            )
        ).map(b"".join),
    )
)
def test_whatever_is_sent_is_answered(port: int, data: bytes) -> None:
    assert exchange(port, data + b"\r\n\r\n")[0] in (200, 400, 404, 405)


@pytest.mark.parametrize("blanks", [" " * 1000, " \t" * 3500])
def test_blanks_cost_no_more_than_other_characters(port: int, blanks: str) -> None:
    """While a regular expression is matched, nothing else of the daemon runs."""
    began = time.process_time()
    head = f"GET / HTTP/1.1\r\nHost:{blanks}here{blanks[:900]}\r\n"
    assert exchange(port, f"{head}\r\n".encode())[::2] == (200, b"host here")
    assert exchange(port, f"{head[:-2]}\x01\r\n\r\n".encode())[0] == 400
    assert time.process_time() - began < 1


@pytest.mark.parametrize("method", ["POST", "OPTIONS", "TRACE", "CONNECT", "get", "PRI"])
def test_refuses_other_methods(port: int, method: str) -> None:
    data = f"{method} / HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc".encode()
    status, header, _ = exchange(port, data)
    assert status == 405
    assert header["allow"] == "GET, HEAD"


def test_does_not_read_long_heads(port: int) -> None:
    status, _, _ = exchange(port, b"GET / HTTP/1.1\r\nX: " + b"x" * 100_000)
    assert status == 431
    assert get(port)[0] == 200


def test_whoever_sends_without_end_is_cut_off(port: int) -> None:
    with connect(port) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: here\r\n\r\n")
        sent = 0
        with suppress(OSError):
            while sent < LARGE:
                sent += connection.send(bytes(65_536))
        assert sent < LARGE
    assert get(port)[0] == HTTPStatus.OK


def test_a_defect_of_a_page_is_no_end(port: int, caplog: pytest.LogCaptureFixture) -> None:
    assert get(port, "/defect")[0] == 500
    assert get(port)[0] == 200
    assert "could not be answered" in caplog.text


def test_dawdlers_keep_nobody_waiting(port: int, caplog: pytest.LogCaptureFixture) -> None:
    with ExitStack() as stack:
        dawdlers = [stack.enter_context(connect(port)) for _ in range(200)]
        for dawdler in dawdlers:
            # The first may be gone by now.
            with suppress(ConnectionError):
                dawdler.sendall(b"GET / HTTP/1.1\r\nHost: ")
        assert get(port)[0] == 200
        assert is_cut(dawdlers[0])  # the oldest gave way
        dawdlers[-1].sendall(b"late\r\n\r\n")
        assert read(dawdlers[-1])[2] == b"host late"
    assert get(port)[0] == 200
    assert not [one for one in caplog.records if one.name == "asyncio"]


def test_those_that_were_answered_make_nobody_give_way(port: int) -> None:
    with connect(port) as early:
        early.sendall(b"GET / HTTP/1.1\r\nHost: ")
        for _ in range(100):
            assert get(port)[0] == 200
        early.sendall(b"late\r\n\r\n")
        assert read(early)[2] == b"host late"


def is_cut(connection: socket.socket) -> bool:
    """Wait for the end of a connection; what the server had not read yet makes it a reset."""
    try:
        return connection.recv(1) == b""
    except ConnectionResetError:
        return True


def test_patience_ends(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level("DEBUG")
    with serving(patience=0.05) as port:
        with connect(port) as silent:
            assert silent.recv(1) == b""
        with connect(port) as asker:
            asker.sendall(b"GET / HTTP")
            assert asker.recv(1) == b""
        with connect(port) as reader:
            reader.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
            received = 0
            # What the kernels hold still comes; the rest does not, for nobody read it in time.
            with suppress(ConnectionResetError):
                silent_for(port)
                while data := reader.recv(65536):
                    received += len(data)
            assert received < LARGE
    assert caplog.messages.count("an HTTP client was too slow, or went away") == 4


def silent_for(port: int) -> None:
    """Wait as long as the server's patience lasts, by its own clock."""
    with connect(port) as silent:
        assert silent.recv(1) == b""


def test_clients_may_vanish(port: int) -> None:
    for _ in range(20):
        connection = connect(port)
        connection.sendall(b"GET /large HTTP/1.1\r\nHost: a\r\n\r\n")
        connection.close()
    assert get(port)[0] == 200


def test_listens_on_unix_sockets(tmp_path: Path) -> None:
    server = HttpServer(answer)
    path = tmp_path / "socket"
    assert server.bind(UnixAddress(path)) == f"unix:{path}"
    assert path.stat().st_mode & 0o777 == 0o660
    server.start()
    with socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(path))
        connection.sendall(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        assert read(connection)[2] == b"host a"
    server.stop()


def test_listens_on_several_addresses() -> None:
    server = HttpServer(answer)
    ports = [int(server.bind(LOOPBACK).rpartition(":")[2]) for _ in range(2)]
    server.start()
    assert [get(port)[0] for port in ports] == [200, 200]
    server.stop()


def test_a_taken_address_cannot_be_listened_on(port: int) -> None:
    server = HttpServer(answer)
    with pytest.raises(BindFailed, match=r"^Address already in use"):
        server.bind(TcpAddress("127.0.0.1", port))
    with pytest.raises(BindFailed, match="path too long"):  # an error without a number
        server.bind(UnixAddress(Path("/tmp/" + "a" * 200)))
    server.stop()  # without having begun


@pytest.mark.parametrize("begun", [True, False])
def test_stops_without_leaving_anything_open(begun: bool) -> None:
    before = sorted(descriptors())
    server = HttpServer(answer)
    address = server.bind(LOOPBACK)
    if begun:
        server.start()
        assert get(int(address.rpartition(":")[2]))[0] == 200
    server.stop()
    server.stop()  # does no harm
    assert sorted(descriptors()) == before


def test_does_not_keep_alive_a_program_that_ends() -> None:
    code = """
from tests.unit.server.http.test_server import LOOPBACK, HttpServer, answer

server = HttpServer(answer)
server.bind(LOOPBACK)
server.start()
"""
    done = subprocess.run([sys.executable, "-c", code], timeout=PATIENCE, check=False)
    assert done.returncode == 0


def test_stops_with_clients_under_way() -> None:
    with serving() as port:
        dawdler = connect(port)
        dawdler.sendall(b"GET")
        assert get(port)[0] == 200
    assert dawdler.recv(1) == b""
    dawdler.close()
