"""The process that fetches a bundle. It runs for one look, and its output is not trusted.

Input: a `Request` on standard input. Output: an `Answer` on standard output, the bundle and its
signature in a folder. The bundle is parsed here first, so that a hostile one crashes this process,
and not the daemon.
"""

from __future__ import annotations

import hashlib
from base64 import b64encode
from pathlib import Path
from time import monotonic
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import msgspec

from policyd.regular_file import TooLong, read_regular
from policyd.sources.policies.bundle.archive import read_bundle
from policyd.sources.policies.bundle.helper import (
    BUNDLE_FILE,
    SIGNATURE_FILE,
    Answer,
    Request,
)
from policyd.sources.policies.bundle.manifest import SIGNATURE, BundleMalformed
from policyd.sources.policies.helping import answer
from policyd.sources.policies.model import Limits
from policyd.tokens.https.fetch import FetchFailed, HttpRequest, SendRequest, https_sender

_LONGEST_SIGNATURE: Final = 64 * 1024
_LONGEST_ETAG: Final = 1024
_ACCEPTED: Final = "application/gzip, application/octet-stream;q=0.9, */*;q=0.1"


class _Fetched(msgspec.Struct, frozen=True):
    """The bytes of a bundle and of its signature; no bundle if it is unchanged."""

    bundle: bytes | None
    signature: bytes | None = None
    etag: str = ""
    waited: bool = False


def fetch(request: Request) -> Answer:
    """Fetch a bundle, unless it is known. Raises `FetchFailed`, `OSError`."""
    found = _from_path(request) if request.path else _from_url(request)
    if found.bundle is None:
        return Answer(request.known, etag=request.etag, unchanged=True, waited=found.waited)
    folder = Path(request.folder)
    (folder / BUNDLE_FILE).write_bytes(found.bundle)
    signature = ""
    if found.signature is not None:
        (folder / SIGNATURE_FILE).write_bytes(found.signature)
        signature = hashlib.sha256(found.signature).hexdigest()
    label, problem = "", ""
    try:
        read = read_bundle(found.bundle, Limits(request.max_files, request.max_bytes))
        label = read.manifest.label
    except BundleMalformed as error:
        problem = str(error)
    return Answer(
        hashlib.sha256(found.bundle).hexdigest(),
        problem,
        signature=signature,
        label=label,
        etag=found.etag if len(found.etag) <= _LONGEST_ETAG else "",
        waited=found.waited,
    )


def _from_path(request: Request) -> _Fetched:
    path = Path(request.path)
    signature = path.with_name(path.name + SIGNATURE)
    etag = "|".join((_stamp(path), _stamp(signature)))
    if request.etag == etag:
        return _Fetched(None)
    return _Fetched(
        read_regular(path, request.max_bytes),
        read_regular(signature, _LONGEST_SIGNATURE) if signature.exists() else None,
        etag,
    )


def _stamp(path: Path) -> str:
    """Return a text that changes when the file changes."""
    try:
        found = path.stat()
    except OSError:
        return "-"
    stamp = (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns, found.st_ctime_ns)
    return ".".join(map(str, stamp))


def _from_url(request: Request) -> _Fetched:
    began = monotonic()
    ask = https_sender(ca_file=request.ca_file or None, allow_http_loopback=True)
    headers = _headers(request)
    conditional = dict(headers)
    if request.etag:
        conditional["If-None-Match"] = request.etag
    if request.wait:
        conditional["Prefer"] = f"wait={request.wait:g}"
    found = ask(
        HttpRequest(request.url, conditional, longest=request.max_bytes, packed=True),
        request.seconds,
    )
    took = monotonic() - began
    waited = bool(request.wait) and (found.waited or took >= request.wait / 2)
    if found.unchanged:
        return _Fetched(None, waited=waited)
    signature = None
    if request.signed:
        parts = urlsplit(request.url)
        url = urlunsplit(parts._replace(path=parts.path + SIGNATURE))
        signature = _signature(
            HttpRequest(url, headers, longest=_LONGEST_SIGNATURE), ask, request.seconds - took
        )
    return _Fetched(found.body, signature, found.etag, waited)


def _signature(request: HttpRequest, ask: SendRequest, seconds: float) -> bytes | None:
    """Return a signature, `None` if there is none."""
    try:
        return ask(request, max(seconds, 0.1)).body
    except FetchFailed as error:
        if error.status in (404, 410):
            return None
        raise FetchFailed(request.url, f"its signature: {error.problem}", error.status) from None


def _headers(request: Request) -> dict[str, str]:
    headers = {"Accept": _ACCEPTED}
    if request.token:
        headers["Authorization"] = f"Bearer {request.token}"
    elif request.username:
        pair = f"{request.username}:{request.password}".encode()
        headers["Authorization"] = f"Basic {b64encode(pair).decode()}"
    return headers


def _why(error: Exception) -> str:
    """Return an error as a sentence that says what to do."""
    if isinstance(error, FetchFailed):
        hints = {
            401: "; see `token_file`, or `username` and `password_file`",
            403: "; see `token_file`, or `username` and `password_file`",
            404: "; is it published there?",
        }
        return f"{error.problem}{hints.get(error.status or 0, '')}"
    if isinstance(error, MemoryError):
        return "fetching it needs more memory than it may"
    if isinstance(error, TooLong):
        return f"{error.strerror} (`max_bytes`)"
    if isinstance(error, OSError):
        return error.strerror or str(error)
    return f"{type(error).__name__}: {error}"


if __name__ == "__main__":
    answer(Request, fetch, _why)
