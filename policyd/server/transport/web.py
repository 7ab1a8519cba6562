"""The interface between services over HTTP and the server that carries them.

A service takes whole requests, bounded in size, and returns whole responses. As over gRPC, a
handler never waits: if it had to wait, it returns `Deferred`. Every exception but `CallFailed` is a
defect of policyd, and is never shown to callers.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from http import HTTPStatus
from time import monotonic
from typing import Protocol

import msgspec

from policyd.pdp.calls import CallFailed, Deferred, Deliver, WrittenT

Fields = tuple[tuple[str, str], ...]


class WebRequest(msgspec.Struct, frozen=True, eq=False):
    """One request. It is also the `policyd.server.transport.interface.Call` of its question.

    `path` and `query` are as sent, without any decoding. `fields` are the header fields in order,
    with names in lower case and values as Latin-1. `peer_name` identifies the connection.
    `certificate` is the caller's certificate from mutual TLS, in DER. `called_by` is the caller's
    name, once it is known. `until` is the caller's deadline on the monotonic clock.
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
        """Return the value of a field, `None` if it is absent.

        Raises `RepeatedField` if it occurs more than once, because it is unclear which one counts.
        """
        found = self.values(name)
        if len(found) > 1:
            raise RepeatedField(name)
        return found[0] if found else None

    def metadata(self) -> Mapping[str, str | bytes]:
        """See `Call.metadata`: the header fields."""
        return dict(self.fields)

    def time_remaining(self) -> float | None:
        """See `Call.time_remaining`."""
        return None if self.until is None else max(0.0, self.until - monotonic())

    def caller(self) -> str:
        """See `Call.caller`."""
        return self.called_by

    def peer(self) -> bytes:
        """Return the name of the request's connection."""
        return self.peer_name


class RepeatedField(Exception):
    """A header field that may occur once occurs several times."""

    def __init__(self, name: str) -> None:
        super().__init__(f"the header field `{name}` stands more than once")


class WebResponse(msgspec.Struct, frozen=True, eq=False):
    """The response. An empty `content_type` means an empty body."""

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
        """Return a failure as a response of the protocol."""
        ...


def plain(status: int, said: str = "", *headers: tuple[str, str]) -> WebResponse:
    """Return a response in plain text, for people: by default the name of its status."""
    text = f"{said or HTTPStatus(status).phrase}\n".encode("utf-8", "replace")
    return WebResponse(status, text, "text/plain; charset=utf-8", headers)


def converted(
    answer: WrittenT | Deferred[WrittenT], write: Callable[[WrittenT], WebResponse]
) -> WebAnswer:
    """Return an answer as a response; a deferred answer becomes a deferred response."""
    if not isinstance(answer, Deferred):
        return write(answer)
    deferred = answer

    def begin(deliver: Deliver[WebResponse]) -> None:
        def hand_on(given: WrittenT | CallFailed) -> None:
            deliver(given if isinstance(given, CallFailed) else write(given))

        deferred.begin(hand_on)

    return Deferred(begin)
