"""Requests over HTTP to a daemon of the tests, as anybody's program would send them."""

from __future__ import annotations

import json
import socket
import ssl
from contextlib import closing
from http.client import HTTPConnection, HTTPSConnection
from pathlib import Path

import msgspec

from policyd.json_types import Json
from tests.support.daemon import PATIENCE, Daemon, access_token

#: The question that is answered with ALLOWED, in JSON.
QUESTION: dict[str, Json] = {
    "api": "health",
    "action": "read",
    "resource": {"type": "patient", "id": "p1", "properties": {"sealed": False}},
}


class Reply(msgspec.Struct, frozen=True):
    """A response, the names of its header fields in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> dict[str, Json]:
        value: dict[str, Json] = json.loads(self.body)
        return value


class _UnixConnection(HTTPConnection):
    def __init__(self, path: str) -> None:
        super().__init__("localhost", timeout=PATIENCE)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.connect(self._path)


def addresses(daemon: Daemon) -> list[str]:
    """Return where a daemon answers over HTTP, in the order of the configuration."""
    found = daemon.wait_for_log("serving")["http"]
    assert isinstance(found, list)
    return [str(one) for one in found]


def send(
    address: str,
    method: str,
    path: str,
    body: bytes | Json = b"",
    context: ssl.SSLContext | None = None,
    /,
    **headers: str,
) -> Reply:
    """Send a request; a body that is no bytes is JSON. `_` in names of headers stands for `-`."""
    fields = {name.replace("_", "-"): value for name, value in headers.items()}
    if not isinstance(body, bytes):
        body = json.dumps(body).encode()
        fields.setdefault("Content-Type", "application/json")
    connection: HTTPConnection
    if address.startswith("unix:"):
        connection = _UnixConnection(address.removeprefix("unix:"))
    elif context is not None:
        connection = HTTPSConnection(address, timeout=PATIENCE, context=context)
    else:
        connection = HTTPConnection(address, timeout=PATIENCE)
    with closing(connection):
        connection.request(method, path, body or None, fields)
        response = connection.getresponse()
        found = {name.lower(): value for name, value in response.getheaders()}
        return Reply(response.status, found, response.read())


def question(token: str | None = None, /, **changes: Json) -> dict[str, Json]:
    """Return that question with a token, and members changed."""
    return {"accessToken": access_token() if token is None else token, **QUESTION, **changes}


def trusting(authorities: Path, pair: Path | None = None) -> ssl.SSLContext:
    """Return what trusts authorities, and shows the certificate of a file with its key."""
    context = ssl.create_default_context(cafile=str(authorities))
    if pair is not None:
        context.load_cert_chain(str(pair))
    return context


def raw(address: str, data: bytes, *, close: bool = False) -> bytes:
    """Send bytes over TCP, and return all that comes back until the end.

    With `close`, nothing more is sent, so that whoever waits for more ends.
    """
    host, _, port = address.rpartition(":")
    with socket.create_connection((host, int(port)), PATIENCE) as connection:
        connection.sendall(data)
        if close:
            connection.shutdown(socket.SHUT_WR)
        parts = []
        while part := connection.recv(65536):
            parts.append(part)
        return b"".join(parts)
