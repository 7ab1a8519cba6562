"""One request over HTTP or HTTPS, and one answer: no redirects, no proxies, no pool.

A time bounds all of it, however slowly the bytes come. Runs in threads that may wait; nothing on
the path of a request calls it.
"""

from __future__ import annotations

import logging
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import TypeVar
from urllib.parse import SplitResult

import msgspec

from policyd.errors import PolicydError
from policyd.regular_file import read_regular
from policyd.tokens.details import escaped
from policyd.tokens.https.authorities import LARGEST, advice

_log = logging.getLogger(__name__)
T = TypeVar("T")


class ExchangeFailed(PolicydError):
    """No answer came, or none that was read to its end. Its text says why, and not from where."""


class Message(msgspec.Struct, frozen=True):
    """What is sent, to the host of `url`. Its headers and its body may hold secrets."""

    method: str
    url: SplitResult
    headers: Mapping[str, str]
    body: bytes | None = None

    def __repr__(self) -> str:
        return f"Message({self.method} {escaped(self.url.netloc)})"


def exchange(
    message: Message,
    context: ssl.SSLContext,
    seconds: float,
    read: Callable[[HTTPResponse], T],
) -> T:
    """Send a message, and return what `read` makes of the answer, within so many seconds.

    Raises `ExchangeFailed`, and what `read` raises.
    """
    started = monotonic()
    connection = _connection(message.url, context, seconds)

    def late() -> ExchangeFailed | None:
        # A connection that was cut may look like one that the server ended.
        took = monotonic() - started
        return ExchangeFailed(f"took longer than {seconds:.3g} s") if took >= seconds else None

    try:
        connection.connect()
        open_socket: socket.socket = connection.sock
        with _cut_after(seconds - (monotonic() - started), open_socket):
            if isinstance(open_socket, ssl.SSLSocket):
                open_socket.do_handshake()
            query = f"?{message.url.query}" if message.url.query else ""
            connection.request(
                message.method,
                (message.url.path or "/") + query,
                body=message.body,
                headers={
                    **message.headers,
                    "Accept-Encoding": "identity",
                    "User-Agent": "policyd",
                },
            )
            with connection.getresponse() as response:
                answer = read(response)
        if (failed := late()) is not None:
            raise failed
        return answer
    except ExchangeFailed:
        raise
    except (OSError, HTTPException, PolicydError) as problem:
        if (failed := late()) is not None:
            raise failed from None
        if isinstance(problem, PolicydError):
            raise
        raise ExchangeFailed(_why(problem)) from None
    finally:
        connection.close()


def _why(problem: Exception) -> str:
    said = _said(problem)
    way_out = advice(problem) if isinstance(problem, ssl.SSLCertVerificationError) else None
    return said if way_out is None else f"{said}; {way_out} (RFC 5280, section 4.2)"


def _said(problem: Exception) -> str:
    """Say what went wrong on the way, in the words of the network and not of a library."""
    if isinstance(problem, ssl.SSLCertVerificationError):
        message = problem.verify_message.removesuffix(".")
        return f"the server's certificate does not hold: {message} ({problem.reason})"
    if isinstance(problem, ssl.SSLError):
        return f"TLS failed: {problem.reason or problem.strerror}"
    if isinstance(problem, socket.gaierror):
        return f"the host is not known: {problem.strerror}"
    if isinstance(problem, OSError) and problem.strerror:
        return problem.strerror
    return f"what came is no answer of HTTP: {escaped(str(problem))}"


class Authorities:
    """Whom to believe that a server is who it says: a file of authorities, or the system's. And
    who policyd says that it is, where it has a certificate.

    The files are read again when they have changed; if the new ones are unusable, the last good
    ones stay in use.
    """

    def __init__(
        self, ca_file: str | None, certificate: str | None = None, private_key: str | None = None
    ) -> None:
        """Read the files, PEM. Raises `OSError` and `ssl.SSLError` (an `OSError`)."""
        self._ca_file, self._certificate, self._private_key = ca_file, certificate, private_key
        self._contents = self._read()
        self._context = self._made()

    def context(self) -> ssl.SSLContext:
        """Return the settings of connections from now on."""
        files = [name for name in self._names() if name is not None]
        if not files:
            return self._context
        try:
            contents = self._read()
            if contents != self._contents:
                self._contents = contents
                self._context = self._made()
                _log.info("certificate authorities read again", extra={"file": ", ".join(files)})
        except OSError as problem:
            extra = {"file": ", ".join(files), "problem": str(problem)}
            _log.warning("certificate authorities cannot be read; the last go on", extra=extra)
        return self._context

    def _names(self) -> tuple[str | None, ...]:
        return (self._ca_file, self._certificate, self._private_key)

    def _read(self) -> tuple[bytes, ...]:
        return tuple(read_regular(Path(name), LARGEST) for name in self._names() if name)

    def _made(self) -> ssl.SSLContext:
        context = ssl.create_default_context(cafile=self._ca_file)
        if self._certificate is not None:
            context.load_cert_chain(self._certificate, self._private_key)
        return context


def _connection(parts: SplitResult, context: ssl.SSLContext, seconds: float) -> HTTPConnection:
    host = parts.hostname or ""
    if parts.scheme == "https":
        return _SecureConnection(host, parts.port, seconds, context)
    return HTTPConnection(host, parts.port, timeout=seconds)


class _SecureConnection(HTTPSConnection):
    """Connects without shaking hands yet: that takes as long as the other side likes."""

    def __init__(
        self, host: str, port: int | None, seconds: float, context: ssl.SSLContext
    ) -> None:
        super().__init__(host, port, timeout=seconds, context=context)
        self._tls = context

    def connect(self) -> None:
        HTTPConnection.connect(self)
        self.sock = self._tls.wrap_socket(
            self.sock, server_hostname=self.host, do_handshake_on_connect=False
        )


@contextmanager
def _cut_after(seconds: float, open_socket: socket.socket) -> Iterator[None]:
    """Cut a connection when the time is up: a socket's own time-out starts anew at each byte."""

    def cut() -> None:
        # It may be closed already, by the other side or by us, and then there is nothing to cut.
        with suppress(OSError):
            open_socket.shutdown(socket.SHUT_RDWR)

    timer = Timer(max(seconds, 0), cut)
    timer.daemon = True
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
