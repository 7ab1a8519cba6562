"""Why nobody answers at an address, and what to do about it."""

from __future__ import annotations

import socket
import ssl
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from policyd.cli.target import Identity, why_unreachable
from tests.support.certificates import Authority, self_signed
from tests.support.daemon import Site


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
        said = why_unreachable(address)
    assert said == "this port speaks TLS: try --authorities FILE"


def test_plain_that_is_asked_over_tls() -> None:
    with listening(None) as address:
        said = why_unreachable(address, Identity(Path("ca.pem")))
    assert said == "this port does not speak TLS: try without --authorities"


def test_what_fits_is_no_advice() -> None:
    with listening(None) as address:
        assert why_unreachable(address) is None


def test_nobody_there(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = f"127.0.0.1:{server.getsockname()[1]}"
    said = why_unreachable(address)
    assert said == f"connection refused: does a daemon listen on {address}?"
    path = f"unix:{tmp_path}/no.sock"
    said = why_unreachable(path)
    assert said == f"no such file or directory: does a daemon listen on {path}?"


@pytest.mark.parametrize("target", ["http://localhost:8181", "localhost:http"])
def test_no_address(target: str) -> None:
    said = why_unreachable(target)
    assert said == "an address is `host:port` or `unix:path`"


@pytest.fixture(scope="module")
def asking(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """A daemon that asks its callers for certificates, and the folder of these."""
    folder = tmp_path_factory.mktemp("asking")
    site = Site(folder)
    authority, other = Authority(), Authority()
    for name, data in (("ca.pem", authority), ("other.pem", other)):
        (folder / name).write_bytes(data.certificate)
    for name, pair in (
        ("server", authority.issue("127.0.0.1")),
        ("caller", authority.issue("dns:orders.example.com")),
        ("stranger", other.issue("dns:orders.example.com")),
    ):
        (folder / f"{name}.pem").write_bytes(pair.certificate)
        (folder / f"{name}.key").write_bytes(pair.key)
    site.listen(
        'address = "127.0.0.1:0"\nservices = ["authorization"]\n'
        'tls = { certificate = "server.pem", private_key = "server.key", '
        'client_authorities = "ca.pem" }'
    )
    with site.start() as running:
        yield running.addresses[0], folder


@pytest.mark.parametrize(
    ("authorities", "caller", "said"),
    [
        ("ca.pem", None, "it asks its callers for a certificate: try --client-certificate"),
        ("ca.pem", "stranger", "it does not accept this certificate: check --client-certificate"),
        ("other.pem", "caller", "its certificate is not accepted"),
        ("ca.pem", "caller", None),
    ],
)
def test_whose_certificate_is_not_accepted(
    asking: tuple[str, Path], authorities: str, caller: str | None, said: str | None
) -> None:
    address, folder = asking
    identity = Identity(
        folder / authorities,
        None if caller is None else folder / f"{caller}.pem",
        None if caller is None else folder / f"{caller}.key",
    )
    found = why_unreachable(address, identity)
    assert found == said or (found is not None and said is not None and found.startswith(said))
