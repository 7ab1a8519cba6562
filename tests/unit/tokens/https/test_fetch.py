"""Requests to issuers, over real sockets: what is sent, and that time is up when it is up."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from policyd.tokens.https.fetch import FetchFailed, HttpRequest, SendRequest, https_sender
from tests.support.authorization_server import AuthorizationServer, Reply, authorization_server

SECONDS = 0.3


@pytest.fixture
def server(tmp_path: Path) -> Iterator[AuthorizationServer]:
    with authorization_server(tmp_path) as running:
        yield running


@pytest.fixture
def ask(server: AuthorizationServer) -> SendRequest:
    return https_sender(ca_file=str(server.ca_file), allow_http_loopback=False)


def test_sends_a_form_and_headers(server: AuthorizationServer, ask: SendRequest) -> None:
    server.routes["/here"] = lambda _: Reply(b"{}", media_type="Application/JSON; charset=utf-8")
    request = HttpRequest(f"{server.issuer}/here", {"Authorization": "Basic x"}, b"a=1&b=%20")
    fetched = ask(request, 5)
    assert (fetched.body, fetched.media_type) == (b"{}", "application/json")
    (asked,) = server.asked
    assert (asked.authorization, asked.form) == ("Basic x", {"a": "1", "b": " "})


def test_without_a_form_it_gets(server: AuthorizationServer, ask: SendRequest) -> None:
    server.routes["/here"] = lambda _: Reply(b"{}")
    assert ask(HttpRequest(f"{server.issuer}/here"), 5).body == b"{}"
    assert server.asked[0].form == {}


def test_a_request_does_not_print_what_it_holds() -> None:
    request = HttpRequest("https://x.example", {"Authorization": "Basic secret"}, b"token=secret")
    assert "secret" not in repr(request)


@contextmanager
def dripping(first: bytes, piece: bytes) -> Iterator[int]:
    """Listen, and answer whatever comes with `first` and then `piece`, again and again."""
    stopping = threading.Event()
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            with suppress(OSError), listener.accept()[0] as connection:
                connection.sendall(first)
                while not stopping.wait(0.02):
                    connection.sendall(piece)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            stopping.set()
            thread.join(10)


@pytest.mark.parametrize(
    ("first", "piece"),
    [
        (b"", b""),
        (b"\x16\x03\x03\x40\x00", b"\x02"),  # a long message of the handshake, byte by byte
    ],
)
def test_a_handshake_ends_when_the_time_is_up(ask: SendRequest, first: bytes, piece: bytes) -> None:
    with (
        dripping(first, piece) as port,
        pytest.raises(FetchFailed, match=r"took longer than 0\.3 s"),
    ):
        ask(HttpRequest(f"https://localhost:{port}/"), SECONDS)
