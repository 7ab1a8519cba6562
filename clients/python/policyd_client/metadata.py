"""The document that tells clients of an API where to get a token for it (RFC 9728).

The daemon serves it on its HTTP listener. A service that has no gateway in front of it asks for it
here, and answers with it at `metadata_path`.
"""

from __future__ import annotations

import asyncio
import json
import socket
from http.client import HTTPConnection, HTTPException
from urllib.parse import urlsplit

from .values import AuthorizationFailed, Json

WELL_KNOWN = "/.well-known/oauth-protected-resource"
#: Far more than any document has.
_LONGEST = 1 << 20


def metadata_path(resource: str) -> str:
    """Return the path of the document of a resource identifier, an https URL (section 3.1).

    Raises `ValueError` where it is none.
    """
    parts = urlsplit(resource)
    if parts.scheme != "https" or not parts.netloc or parts.fragment:
        raise ValueError(f"a resource identifier is an https URL without a fragment: {resource!r}")
    path = "" if parts.path == "/" else parts.path
    return f"{WELL_KNOWN}{path}" + (f"?{parts.query}" if parts.query else "")


def fetch_metadata(address: str, resource: str, *, timeout: float = 5.0) -> dict[str, Json]:
    """Return the document of `resource` from the daemon's HTTP listener.

    `address` is `host:port` or `unix:path`, `timeout` in seconds for each step. Raises
    `AuthorizationFailed`: with NOT_FOUND where no API has that identifier; and `ValueError`.
    """
    path, host = metadata_path(resource), urlsplit(resource).netloc
    connection = _Connection(address, timeout)
    try:
        connection.request("GET", path, headers={"Host": host, "Accept": "application/json"})
        response = connection.getresponse()
        body = response.read(_LONGEST)
    except (OSError, HTTPException) as error:
        raise AuthorizationFailed("UNAVAILABLE", f"{address}: {error}") from None
    finally:
        connection.close()
    if response.status == 404:
        raise AuthorizationFailed("NOT_FOUND", f"no API has the resource identifier {resource}")
    if response.status != 200:
        raise AuthorizationFailed("UNKNOWN", f"{address} answered with status {response.status}")
    try:
        document = json.loads(body)
    except ValueError:
        document = None
    if not isinstance(document, dict) or document.get("resource") != resource:
        # Section 3.3: a document about another resource must not be used.
        raise AuthorizationFailed("UNKNOWN", f"{address} answered with no document of {resource}")
    return document


async def fetch_metadata_async(
    address: str,
    resource: str,
    *,
    timeout: float = 5.0,
) -> dict[str, Json]:
    """As `fetch_metadata`, in a thread: it is asked for once in minutes."""
    return await asyncio.to_thread(fetch_metadata, address, resource, timeout=timeout)


class _Connection(HTTPConnection):
    """HTTP over TCP or a Unix socket."""

    def __init__(self, address: str, timeout: float) -> None:
        self._path = address.removeprefix("unix:") if address.startswith("unix:") else ""
        super().__init__("localhost" if self._path else address, timeout=timeout)

    def connect(self) -> None:
        if not self._path:
            super().connect()
            return
        self.sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)
