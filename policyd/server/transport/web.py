"""What services over HTTP need of the server that carries them, and what it needs of the services.

A service takes whole requests, bounded in size, and returns whole responses. As over gRPC, a
handler never waits: where it would have to, it returns `Deferred`. Every exception but `CallFailed`
is a defect of policyd, and is never shown.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from time import monotonic
from typing import Protocol

import msgspec

from policyd.server.transport.interface import CallFailed, Deferred, Deliver, WrittenT

Fields = tuple[tuple[str, str], ...]


class WebRequest(msgspec.Struct, frozen=True, eq=False):
    """One request; also the `policyd.server.transport.interface.Call` of what it asks.

    `path` and `query` are as they were sent, nothing decoded. `fields` are the header fields in
    their order, the names in lower case, the values as Latin-1. `peer_name` tells connections
    apart, `certificate` is what the caller showed over mutual TLS, in DER. `called_by` is who
    calls, once that is known. `until` is the caller's deadline on the monotonic clock.
    """

    method: str
    path: str
    query: str = ""
    fields: Fields = ()
    body: bytes = b""
    peer_name: bytes = b""
    certificate: bytes = b""
    called_by: str = ""
    until: float | None = None

    def values(self, name: str) -> list[str]:
        """Return the values of all fields of that name, in lower case."""
        return [value for field, value in self.fields if field == name]

    def value(self, name: str) -> str | None:
        """Return the value of a field, `None` where it is absent.

        Raises `RepeatedField` where it stands more than once: nobody can tell which one counts.
        """
        found = self.values(name)
        if len(found) > 1:
            raise RepeatedField(name)
        return found[0] if found else None

    def metadata(self) -> Mapping[str, str | bytes]:
        """See `Call.metadata`: what is not of HTTP's own."""
        return dict(self.fields)

    def time_remaining(self) -> float | None:
        """See `Call.time_remaining`."""
        return None if self.until is None else max(0.0, self.until - monotonic())

    def caller(self) -> str:
        """See `Call.caller`."""
        return self.called_by

    def peer(self) -> bytes:
        """Return what tells the request's connection from others."""
        return self.peer_name


class RepeatedField(Exception):
    """A header field that may stand once stands several times."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the header field `{name}` stands more than once")


class WebResponse(msgspec.Struct, frozen=True, eq=False):
    """What goes back. An empty `content_type` is for an empty body."""

    status: int
    body: bytes = b""
    content_type: str = ""
    headers: Fields = ()


WebAnswer = WebResponse | Deferred[WebResponse]


class WebService(Protocol):
    """Answers requests of one protocol."""

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request. Raises `CallFailed`."""
        ...

    def failed(self, request: WebRequest, failure: CallFailed) -> WebResponse:
        """Say in the protocol why there is no answer."""
        ...


def plain(status: int, said: str = "", *headers: tuple[str, str]) -> WebResponse:
    """Return a response for people, which says its status, or something better."""
    text = f"{said or HTTPStatus(status).phrase}\n".encode("utf-8", "replace")
    return WebResponse(status, text, "text/plain; charset=utf-8", headers)


def converted(
    answer: WrittenT | Deferred[WrittenT], write: Callable[[WrittenT], WebResponse]
) -> WebAnswer:
    """Return an answer as a response, also where it is not available yet."""
    if not isinstance(answer, Deferred):
        return write(answer)
    deferred = answer

    def begin(deliver: Deliver[WebResponse]) -> None:
        def hand_on(given: WrittenT | CallFailed) -> None:
            deliver(given if isinstance(given, CallFailed) else write(given))

        deferred.begin(hand_on)

    return Deferred(begin)
