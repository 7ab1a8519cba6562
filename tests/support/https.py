"""A small HTTPS server on loopback with a certificate authority of its own.

A route is a function that writes to the connection whatever it likes, well-formed or not.
"""

from __future__ import annotations

import contextlib
import datetime as dt
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from ipaddress import ip_address
from pathlib import Path
from threading import Event, Thread

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
)
from cryptography.x509.oid import NameOID

from policyd.tokens.https.fetch import Fetch, https_fetcher

Write = Callable[[bytes], None]
Route = Callable[[Write, Event], None]


def fetcher(folder: Path, seconds: float = 5.0, *, loopback: bool = False) -> Fetch:
    """Return what fetches for policyd, trusting the authority written to `folder`."""
    return https_fetcher(
        ca_file=str(folder / "ca.pem"), allow_http_loopback=loopback, seconds=seconds
    )


def body(content: bytes, status: str = "200 OK", **headers: str) -> Route:
    """Answer with a status, headers (underscores for hyphens) and a body."""
    lines = [f"HTTP/1.1 {status}", f"Content-Length: {len(content)}", "Connection: close"]
    lines += [f"{name.replace('_', '-')}: {value}" for name, value in headers.items()]
    answer = "\r\n".join(lines).encode() + b"\r\n\r\n" + content

    def route(write: Write, stopping: Event) -> None:
        write(answer)

    return route


def slowly(head: bytes, piece: bytes) -> Route:
    """Answer with `head`, then `piece` again and again until the other side has had enough."""

    def route(write: Write, stopping: Event) -> None:
        write(head)
        while not stopping.wait(0.02):
            write(piece)

    return route


class Server:
    """Serves `routes` by path. `paths` are those that were asked for."""

    def __init__(self, certificate: Path | None) -> None:
        self.routes: dict[str, Route] = {}
        self.paths: list[str] = []
        self._context = None
        if certificate is not None:
            self._context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            self._context.load_cert_chain(certificate)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self._stopping = Event()
        self._thread = Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def port(self) -> int:
        port: int = self._listener.getsockname()[1]
        return port

    def url(self, path: str = "", host: str = "localhost") -> str:
        return f"{'https' if self._context else 'http'}://{host}:{self.port}{path}"

    def close(self) -> None:
        self._stopping.set()
        self._thread.join(10)
        self._listener.close()

    def _accept(self) -> None:
        self._listener.settimeout(0.02)
        while not self._stopping.is_set():
            try:
                connection, _ = self._listener.accept()
            except TimeoutError:
                continue
            connection.settimeout(10)
            Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        # A client that refuses the certificate, or hangs up, is part of what is tested.
        with contextlib.suppress(OSError), connection:
            if self._context is not None:
                connection = self._context.wrap_socket(connection, server_side=True)
            with connection:
                request = connection.recv(65536)
                if not request:
                    return
                path = request.split(b" ")[1].decode()
                self.paths.append(path)
                route = self.routes.get(path, body(b"none", "404 Not Found"))
                route(connection.sendall, self._stopping)


@contextlib.contextmanager
def serving(
    certificate: Path | None, routes: Mapping[str, Route] | None = None
) -> Iterator[Server]:
    server = Server(certificate)
    server.routes.update(routes or {})
    try:
        yield server
    finally:
        server.close()


@cache
def _authority() -> tuple[ec.EllipticCurvePrivateKey, x509.Certificate]:
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    certificate = (
        _builder(name, name, key, key)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(
            x509.KeyUsage(
                digital_signature=True,
                key_cert_sign=True,
                crl_sign=True,
                content_commitment=False,
                key_encipherment=False,
                data_encipherment=False,
                key_agreement=False,
                encipher_only=False,
                decipher_only=False,
            ),
            critical=True,
        )
        .sign(key, hashes.SHA256())
    )
    return key, certificate


def write_authority(path: Path) -> Path:
    """Write the certificate of the authority, for `ca_file`."""
    path.write_bytes(_authority()[1].public_bytes(Encoding.PEM))
    return path


def write_certificate(path: Path, host: str = "localhost") -> Path:
    """Write a server's key and certificate for `host`, signed by the authority."""
    authority_key, authority = _authority()
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, host)])
    alternatives: list[x509.GeneralName] = [x509.DNSName(host)]
    if host == "localhost":
        alternatives.append(x509.IPAddress(ip_address("127.0.0.1")))
    certificate = (
        _builder(name, authority.subject, key, authority_key)
        .add_extension(x509.SubjectAlternativeName(alternatives), critical=False)
        .sign(authority_key, hashes.SHA256())
    )
    path.write_bytes(
        key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        + certificate.public_bytes(Encoding.PEM)
    )
    return path


def _builder(
    subject: x509.Name,
    issuer: x509.Name,
    key: ec.EllipticCurvePrivateKey,
    issuer_key: ec.EllipticCurvePrivateKey,
) -> x509.CertificateBuilder:
    """Begin a certificate that Python 3.13 takes: it wants both key identifiers (RFC 5280)."""
    now = dt.datetime.now(dt.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - dt.timedelta(days=1))
        .not_valid_after(now + dt.timedelta(days=1))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
    )
