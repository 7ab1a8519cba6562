"""Why nobody answers at an address, and what to do about it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from policyd.cli.target import why_unreachable
from tests.support.certificates import self_signed


@contextmanager
def listening(context: ssl.SSLContext | None) -> Iterator[str]:
    """Answer one connection: by TLS with a context, else with a line of text."""
    with socket.create_server(("127.0.0.1", 0)) as server:

        def answer() -> None:
            connection, _ = server.accept()
            with connection:
                if context is None:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
                    connection.recv(4096)
                    return
                try:
                    with context.wrap_socket(connection, server_side=True) as secure:
                        secure.recv(1)
                except OSError:  # the other side has seen enough
                    pass

        thread = threading.Thread(target=answer)
        thread.start()
        yield f"127.0.0.1:{server.getsockname()[1]}"
        thread.join()


def of_a_daemon(folder: Path) -> ssl.SSLContext:
    pair = self_signed()
    for name, data in (("cert.pem", pair.certificate), ("key.pem", pair.key)):
        (folder / name).write_bytes(data)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_tls_that_is_asked_in_plain(tmp_path: Path) -> None:
    with listening(of_a_daemon(tmp_path)) as address:
        said = why_unreachable(address, tls=False)
    assert said == "this port speaks TLS: try --authorities FILE"


def test_plain_that_is_asked_over_tls() -> None:
    with listening(None) as address:
        said = why_unreachable(address, tls=True)
    assert said == "this port does not speak TLS: try without --authorities"


def test_what_fits_is_no_advice() -> None:
    with listening(None) as address:
        assert why_unreachable(address, tls=False) is None


def test_nobody_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    said = why_unreachable(address, tls=False)
    assert said == f"connection refused: does a daemon listen on {address}?"
    path = f"unix:{tmp_path}/no.sock"
    said = why_unreachable(path, tls=False)
    assert said == f"no such file or directory: does a daemon listen on {path}?"


@pytest.mark.parametrize("target", ["http://localhost:8181", "localhost:http"])
def test_no_address(target: str) -> None:
    said = why_unreachable(target, tls=False)
    assert said == "an address is `host:port` or `unix:path`"
