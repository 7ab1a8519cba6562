"""HTTPS to issuers: one request, one answer, and nothing that could lead astray.

HTTPS with the certificate verified (plain HTTP to loopback only by explicit option), no redirects,
no proxies, status 200 alone (304 if the request has a condition), at most 256 KiB unless the
request says otherwise, and a bounded time for all of it, however slowly the bytes come. Runs in
threads that may wait; nothing on the path of a request calls it.
"""

from __future__ import annotations

import re
import ssl
from collections.abc import Callable, Mapping
from http.client import HTTPResponse
from typing import Final
from urllib.parse import SplitResult

import msgspec

from policyd.errors import PolicydError
from policyd.tokens.details import escaped
from policyd.tokens.https.exchange import Authorities, ExchangeFailed, Message, exchange
from policyd.tokens.urls import check_url

LONGEST_BODY: Final = 256 * 1024
LONGEST_FETCH: Final = 5.0
_MAX_AGE: Final = re.compile(r"(?:^|[\s,])max-age=\"?([0-9]{1,10})(?![0-9])", re.IGNORECASE)


class FetchFailed(PolicydError):
    """Nothing usable came from a URL. `status` is the HTTP status, where there was one."""

    def __init__(self, url: str, problem: str, status: int | None = None) -> None:
        super().__init__(f"{escaped(url)}: {problem}")
        self.problem = problem
        self.status = status


class Document(msgspec.Struct, frozen=True):
    """A body, for how many seconds its server says it may be kept (`None`: it does not), and its
    media type, in lower case and without parameters.

    `etag` identifies it in a later condition (RFC 9110, section 8.8.3). With `unchanged`, the
    condition of the request is not met, and there is no body. `waited` says whether the server
    delayed its answer, as the request preferred (RFC 7240, section 4.3).
    """

    body: bytes
    max_age: int | None = None
    media_type: str = ""
    etag: str = ""
    unchanged: bool = False
    waited: bool = False


class HttpRequest(msgspec.Struct, frozen=True):
    """A GET, or with `form` a POST of that, encoded already. Its headers may hold secrets.

    The body of the answer has at most `longest` bytes. With `packed`, a file packed by gzip is
    expected; some servers declare that as its encoding, and the bytes are left as they are.
    """

    url: str
    headers: Mapping[str, str] = {}
    form: bytes | None = None
    longest: int = LONGEST_BODY
    packed: bool = False

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
    trust = Authorities(ca_file)

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
    sent = Message(
        "GET" if request.form is None else "POST", parts, request.headers, body=request.form
    )
    try:
        return exchange(sent, context, seconds, lambda response: _read(request, response))
    except ExchangeFailed as problem:
        raise FetchFailed(url, str(problem)) from None


def _read(request: HttpRequest, response: HTTPResponse) -> Document:
    url, status = request.url, response.status
    etag = response.getheader("ETag", "")
    waited = "wait" in response.getheader("Preference-Applied", "").lower()
    if status == 304 and "If-None-Match" in request.headers:
        return Document(b"", etag=etag, unchanged=True, waited=waited)
    if status != 200:
        hint = ", and redirects are not followed" if 300 <= status < 400 else ""
        raise FetchFailed(url, f"answered with status {status}{hint}, expected 200", status)
    encoding = response.getheader("Content-Encoding", "identity")
    if encoding != "identity" and not (request.packed and encoding in ("gzip", "x-gzip")):
        raise FetchFailed(url, f"answered in the encoding {escaped(encoding)}, which was not asked")
    body = response.read(request.longest + 1)
    if len(body) > request.longest:
        raise FetchFailed(url, f"answered with more than {request.longest} bytes")
    if response.length:
        raise FetchFailed(url, f"broke off {response.length} bytes before the end")
    media_type = response.getheader("Content-Type", "").partition(";")[0].strip().lower()
    max_age = _max_age(response.getheader("Cache-Control", ""))
    return Document(body, max_age, media_type, etag, waited=waited)


def _max_age(cache_control: str) -> int | None:
    if re.search(r"\bno-(?:store|cache)\b", cache_control, re.IGNORECASE):
        return 0
    found = _MAX_AGE.search(cache_control)
    return None if found is None else int(found[1])
