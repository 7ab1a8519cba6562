"""HTTPS to issuers: one request, one answer, and nothing that could lead astray.

HTTPS with the certificate verified (plain HTTP to loopback only by explicit option), no redirects,
no proxies, status 200 alone, at most 256 KiB, and a bounded time for all of it, however slowly the
bytes come. Runs in threads that may wait; nothing on the path of a request calls it.
"""

from __future__ import annotations

import logging
import re
import socket
import ssl
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from http.client import HTTPConnection, HTTPException, HTTPResponse, HTTPSConnection
from pathlib import Path
from threading import Timer
from time import monotonic
from typing import Final
from urllib.parse import SplitResult

import msgspec

from policyd.errors import PolicydError
from policyd.regular_file import read_regular
from policyd.tokens.details import escaped
from policyd.tokens.https.authorities import LARGEST, advice
from policyd.tokens.urls import check_url

_log = logging.getLogger(__name__)
LONGEST_BODY: Final = 256 * 1024
LONGEST_FETCH: Final = 5.0
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,10})(?![0-9])", re.IGNORECASE)


class FetchFailed(PolicydError):
    """Nothing usable came from a URL. `status` is the HTTP status, where there was one."""

    def __init__(self, url: str, problem: str, status: int | None = None) -> None:
        super().__init__(f"{escaped(url)}: {problem}")
        self.status = status


class Document(msgspec.Struct, frozen=True):
    """A body, for how many seconds its server says it may be kept (`None`: it does not), and its
    media type, in lower case and without parameters."""

    body: bytes
    max_age: int | None = None
    media_type: str = ""


class HttpRequest(msgspec.Struct, frozen=True):
    """A GET, or with `form` a POST of that, encoded already. Its headers may hold secrets."""

    url: str
    headers: Mapping[str, str] = {}
    form: bytes | None = None

    def __repr__(self) -> str:
        return f"HttpRequest({escaped(self.url)})"


Fetch = Callable[[str], Document]
#: Sends a request, and waits so many seconds at most. Raises `FetchFailed`.
SendRequest = Callable[[HttpRequest, float], Document]


def https_fetcher(
    *, ca_file: str | None, allow_http_loopback: bool, seconds: float = LONGEST_FETCH
) -> Fetch:
    """Return a function that fetches a URL or raises `FetchFailed`.

    `ca_file` replaces the system's certificate authorities. Raises `OSError` and `ssl.SSLError`
    (an `OSError`) when it cannot be read.
    """
    ask = https_sender(ca_file=ca_file, allow_http_loopback=allow_http_loopback)
    headers = {"Accept": "application/jwk-set+json, application/json"}
    return lambda url: ask(HttpRequest(url, headers), seconds)


def https_sender(*, ca_file: str | None, allow_http_loopback: bool) -> SendRequest:
    """Return a function that sends a request and returns the answer, or raises `FetchFailed`.

    `ca_file` replaces the system's certificate authorities. Raises `OSError` and `ssl.SSLError`
    (an `OSError`) when it cannot be read.
    """
    trust = _Authorities(ca_file)

    def ask(request: HttpRequest, seconds: float) -> Document:
        try:
            parts = check_url(request.url, loopback_http=allow_http_loopback)
        except ValueError as problem:
            raise FetchFailed(request.url, f"the URL {problem}") from None
        return _send(request, parts, trust.context(), seconds)

    return ask


def _send(
    request: HttpRequest, parts: SplitResult, context: ssl.SSLContext, seconds: float
) -> Document:
    url = request.url
    started = monotonic()
    connection = _connection(parts, context, seconds)
    try:
        connection.connect()
        open_socket: socket.socket = connection.sock
        with _cut_after(seconds - (monotonic() - started), open_socket):
            if isinstance(open_socket, ssl.SSLSocket):
                open_socket.do_handshake()
            connection.request(
                "GET" if request.form is None else "POST",
                parts.path or "/",
                body=request.form,
                headers={
                    **request.headers,
                    "Accept-Encoding": "identity",
                    "User-Agent": "policyd",
                },
            )
            with connection.getresponse() as response:
                fetched = _read(url, response)
        # A connection that was cut may look like one that the server ended.
        if monotonic() - started >= seconds:
            raise FetchFailed(url, f"took longer than {seconds:.3g} s")
        return fetched
    except (OSError, HTTPException, FetchFailed) as problem:
        if monotonic() - started >= seconds:
            raise FetchFailed(url, f"took longer than {seconds:.3g} s") from None
        if isinstance(problem, FetchFailed):
            raise
        raise FetchFailed(url, _why(problem)) from None
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


class _Authorities:
    """Whom to believe that a server is who it says: a file of authorities, or the system's.

    The file is read again when its content has changed; if the new content is unusable, the last
    good authorities stay in use.
    """

    def __init__(self, ca_file: str | None) -> None:
        self._path = None if ca_file is None else Path(ca_file)
        self._content = None if self._path is None else read_regular(self._path, LARGEST)
        self._context = ssl.create_default_context(cafile=ca_file)

    def context(self) -> ssl.SSLContext:
        """Return the settings of connections from now on."""
        if self._path is None:
            return self._context
        try:
            content = read_regular(self._path, LARGEST)
            if content != self._content:
                self._content = content
                self._context = ssl.create_default_context(cafile=self._path)
                _log.info("certificate authorities read again", extra={"file": str(self._path)})
        except OSError as problem:
            extra = {"file": str(self._path), "problem": str(problem)}
            _log.warning("certificate authorities cannot be read; the last go on", extra=extra)
        return self._context


def _read(url: str, response: HTTPResponse) -> Document:
    status = response.status
    if status != 200:
        hint = ", and redirects are not followed" if 300 <= status < 400 else ""
        raise FetchFailed(url, f"answered with status {status}{hint}, expected 200", status)
    encoding = response.getheader("Content-Encoding", "identity")
    if encoding != "identity":
        raise FetchFailed(url, f"answered in the encoding {escaped(encoding)}, which was not asked")
    body = response.read(LONGEST_BODY + 1)
    if len(body) > LONGEST_BODY:
        raise FetchFailed(url, f"answered with more than {LONGEST_BODY} bytes")
    if response.length:
        raise FetchFailed(url, f"broke off {response.length} bytes before the end")
    media_type = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
    return Document(body, _max_age(response.getheader("Cache-Control", "")), media_type)


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


def _max_age(cache_control: str) -> int | None:
    if re.search(r"\bno-(?:store|cache)\b", cache_control, re.IGNORECASE):
        return 0
    found = _MAX_AGE.search(cache_control)
    return None if found is None else int(found[1])
