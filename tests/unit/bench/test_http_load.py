"""The load over HTTP/1.1: answers in their order, however they come, and no failure is counted."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from bench.load import LoadError, Method, run
from bench.peers.http_load import Plain, posts

GOOD = b'HTTP/1.1 200 OK\r\nContent-Length: 15\r\nDate: x\r\n\r\n{"allowed":true'
METHOD = Method("", b'"allowed":true', grpc=False)


@contextmanager
def answering(*parts: bytes) -> Iterator[tuple[str, int]]:
    """Listen, and answer the first request of a connection with these parts."""
    with socket.create_server(("127.0.0.1", 0)) as listening:

        def serve() -> None:
            connection, _ = listening.accept()
            with connection:
                connection.recv(65_536)
                for part in parts:
                    connection.sendall(part)

        thread = threading.Thread(target=serve)
        thread.start()
        yield ("127.0.0.1", listening.getsockname()[1])
        thread.join(30)


@pytest.mark.parametrize(
    "parts",
    [
        (GOOD,),
        (GOOD[:10], GOOD[10:50], GOOD[50:]),
        (GOOD.replace(b"Content-Length", b"content-length"),),
    ],
)
def test_an_answer_is_counted_once_it_is_whole(parts: tuple[bytes, ...]) -> None:
    with answering(*parts) as address:
        measured = run(address, METHOD, posts("/a", [b"{}"]), calls=1, connect=Plain)
    assert (measured.calls, len(measured.latencies)) == (1, 1)


@pytest.mark.parametrize(
    "answer",
    [
        GOOD.replace(b"200 OK", b"403 No"),
        GOOD.replace(b"true", b"fals"),
        GOOD.replace(b"Content-Length: 15", b"Transfer-Encoding: chunked"),
        GOOD[:20],
    ],
)
def test_another_answer_fails(answer: bytes) -> None:
    with answering(answer) as address, pytest.raises(LoadError):
        run(address, METHOD, posts("/a", [b"{}"]), calls=1, connect=Plain)


def test_a_request_is_whole() -> None:
    (made,) = posts("/a/b", [b'{"a":1}'])
    assert made == (
        b"POST /a/b HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n"
        b'Content-Length: 7\r\n\r\n{"a":1}'
    )
