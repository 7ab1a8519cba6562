"""A server that accepts records over HTTP: each batch is a POST, in NDJSON or another `Form`.

What the answer's status means (RFC 9110, section 15):

- 2xx: all records of the batch are delivered.
- 400, 413, 422 and the other 4xx: the records are wrong; the batch is refused.
- 401, 403, 404, 407, 408, 421, 425, 429, and all other statuses: the server, its address or
  policyd's credentials are wrong. The batch is retried, after `Retry-After` at the earliest.
"""

from __future__ import annotations

import gzip
import time
from collections.abc import Callable, Mapping, Sequence
from email.utils import parsedate_to_datetime
from http.client import HTTPResponse
from pathlib import Path
from typing import Final, Protocol
from urllib.parse import SplitResult, urlsplit

import msgspec

from policyd.audit.sinks.destination import Outcome
from policyd.regular_file import read_regular
from policyd.tokens.details import escaped
from policyd.tokens.https.exchange import Authorities, ExchangeFailed, Message, exchange
from policyd.tokens.urls import check_url

#: Statuses of 4xx that do not mean that the records are wrong.
_PASSING: Final = frozenset({401, 403, 404, 407, 408, 421, 425, 429})
_LONGEST_TOKEN: Final = 16 * 1024
_LEVEL: Final = 6  # compression level: 9 takes more than twice as long to save 1 % more
_READ: Final = 4096  # of an answer's body, whose beginning is quoted
DEFAULT_TIMEOUT: Final = 10.0


class HttpSettings(msgspec.Struct, frozen=True):
    """The server and how to reach it. `timeout` is in seconds, for a whole exchange.

    `token_file` holds a bearer token; it is read for each batch. `ca_file` replaces the system's
    certificate authorities, `certificate` and `private_key` are policyd's own. These files are read
    again when they change.
    """

    url: SplitResult
    gzip: bool = False
    timeout: float = DEFAULT_TIMEOUT
    token_file: Path | None = None
    ca_file: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None


class Form(Protocol):
    """The format of a batch, and of failures in answers with a 2xx status."""

    @property
    def content_type(self) -> str: ...

    def body(self, records: Sequence[bytes]) -> bytes:
        """Return the body of a request, from lines without line feeds."""
        ...

    def problem(self, answer: bytes) -> str | None:
        """Return why records of a batch were refused although the status is 2xx; `None` if none
        were.

        `answer` is the body, or its beginning.
        """
        ...


class _Lines:
    """NDJSON."""

    content_type = "application/x-ndjson"

    def body(self, records: Sequence[bytes]) -> bytes:
        return b"\n".join(records) + b"\n"

    def problem(self, answer: bytes) -> str | None:  # noqa: ARG002 - the status says all
        return None


LINES: Final = _Lines()


class _Answer(msgspec.Struct, frozen=True):
    status: int
    body: bytes
    said: str
    retry_after: float | None


class HttpDestination:
    """Posts records in a `form`. `clock` (seconds since the epoch) is used if the answer has no
    `Date`."""

    def __init__(
        self,
        settings: HttpSettings,
        clock: Callable[[], float] = time.time,
        form: Form = LINES,
    ) -> None:
        """Read the files.

        Raises:
            OSError: one of them cannot be used (this includes `ssl.SSLError`).
        """
        self._settings = settings
        self._clock = clock
        self._form = form
        self._authorities = Authorities(
            *(
                None if path is None else str(path)
                for path in (settings.ca_file, settings.certificate, settings.private_key)
            )
        )
        self._headers()

    def deliver(self, records: Sequence[bytes]) -> Outcome:
        """See `Destination`."""
        settings = self._settings
        body = self._form.body(records)
        if settings.gzip:
            body = gzip.compress(body, _LEVEL, mtime=0)
        try:
            sent = Message("POST", settings.url, self._headers(), body)
        except OSError as error:
            return Outcome(0, f"its token cannot be read: {error.strerror or error}")
        try:
            answer = exchange(sent, self._authorities.context(), settings.timeout, self._read)
        except ExchangeFailed as error:
            return Outcome(0, str(error))
        if 200 <= answer.status < 300:
            problem = self._form.problem(answer.body)
            return Outcome(len(records)) if problem is None else Outcome(0, problem, refused=True)
        refused = 400 <= answer.status < 500 and answer.status not in _PASSING
        return Outcome(0, answer.said, refused, answer.retry_after)

    def _headers(self) -> Mapping[str, str]:
        headers = {"Content-Type": self._form.content_type}
        if self._settings.gzip:
            headers["Content-Encoding"] = "gzip"
        path = self._settings.token_file
        if path is not None:
            token = read_regular(path, _LONGEST_TOKEN).strip().decode("latin-1")
            if not token or not token.isascii() or not token.isprintable():
                raise OSError(f"`{path}` holds no token")
            headers["Authorization"] = f"Bearer {token}"
        return headers

    def _read(self, response: HTTPResponse) -> _Answer:
        said = f"answered {response.status}"
        if 300 <= response.status < 400:
            said += ", and redirects are not followed"
        body = response.read(_READ)
        first = body.decode("utf-8", "replace").strip().partition("\n")[0]
        if first:
            said += f": {escaped(first)}"
        return _Answer(response.status, body, said, self._retry_after(response))

    def _retry_after(self, response: HTTPResponse) -> float | None:
        """Return the seconds of `Retry-After` (RFC 9110, section 10.2.3), if it can be read."""
        text = (response.getheader("Retry-After") or "").strip()
        if text.isascii() and text.isdigit():
            return float(text[:10])
        try:
            until = parsedate_to_datetime(text).timestamp()
        except (ValueError, OverflowError):
            return None
        try:
            now = parsedate_to_datetime(response.getheader("Date") or "").timestamp()
        except (ValueError, OverflowError):
            now = self._clock()
        return max(0.0, until - now)

    def reopen(self) -> None:
        """See `Destination`: nothing to do, since each batch has its own connection."""

    def close(self) -> None:
        """See `Destination`."""


def sink_url(url: str, *, insecure: bool) -> SplitResult:
    """Split the URL of a server for records. Raises `ValueError`, with the reason, if it is
    invalid.

    HTTPS is required, except to loopback or with `insecure`. The URL may have a query.
    """
    try:
        parts = urlsplit(url)
    except ValueError:
        raise ValueError(f"has a host that cannot be: {escaped(url)}") from None
    scheme = "https" if insecure and parts.scheme == "http" else parts.scheme
    if not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be an absolute URL, found {escaped(url)}")
    check_url(parts._replace(query="", scheme=scheme).geturl(), loopback_http=True)
    return parts
