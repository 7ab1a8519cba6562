"""What one listener over HTTP offers: its services by path, and who may ask them.

Input: a request. Output: the answer of the service that has its path, asked in the caller's
name. A caller shows a certificate, which the connection has judged, or a secret in the header field
`Authorization`. Where that field belongs to another request, as behind a gateway, the secret is in
`Policyd-Authorization`.

Invariant: a service sees no request of a caller that the listener does not let in; the pages, which
show nothing secret, are for everybody.
"""

from __future__ import annotations

from http import HTTPStatus
from typing import Protocol

import msgspec

from policyd.config.secrets import CallerSecrets
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.doors import CertificateDoor
from policyd.server.transport.web import RepeatedField, WebAnswer, WebRequest, WebResponse, plain
from policyd.server.wire.failures import failure


class Room(Protocol):
    """A service, as a site has it. `credential` is the header field for a caller's secret."""

    credential: str

    def has(self, path: str) -> bool:
        """Tell whether a path is one of the service's."""
        ...

    def answer(self, request: WebRequest) -> WebAnswer: ...

    def failed(self, request: WebRequest, failure: CallFailed) -> WebResponse: ...


class WebDoor:
    """Says who calls: by certificate, by secret, or else all alike as `everyone`."""

    def __init__(
        self, everyone: str, certificates: CertificateDoor | None, secrets: CallerSecrets | None
    ) -> None:
        self._everyone = everyone
        self._certificates = certificates
        self._secrets = secrets

    def caller(self, request: WebRequest, credential: str) -> str:
        """Return who calls. Raises `CallFailed` for callers who may not."""
        caller = self._everyone
        if self._secrets is not None:
            caller = self._by_secret(self._secrets, request, credential)
        if self._certificates is not None:
            caller = self._certificates.caller(request.certificate)
        return caller

    def _by_secret(self, secrets: CallerSecrets, request: WebRequest, credential: str) -> str:
        try:
            scheme, _, secret = (request.value(credential) or "").partition(" ")
        except RepeatedField:
            scheme = secret = ""
        if scheme.lower() != "bearer" or not secrets.holds(secret.strip(" ")):
            text = f"this listener asks for a secret: `{credential}: Bearer …`"
            raise failure(StatusCode.UNAUTHENTICATED, ErrorReason.CALLER_REFUSED, text)
        return secrets.caller


class Site:
    """The rooms of one listener, the door in front of them, and what is `public` beside it."""

    def __init__(
        self, rooms: tuple[Room, ...], door: WebDoor, public: tuple[Room, ...] = ()
    ) -> None:
        self._rooms = rooms
        self._door = door
        self._public = public

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request. Raises `CallFailed`."""
        room = self._room(request)
        if room is None:
            return plain(HTTPStatus.NOT_FOUND)
        if room not in self._public:
            caller = self._door.caller(request, room.credential)
            request = msgspec.structs.replace(request, called_by=caller)
        return room.answer(request)

    def failed(self, request: WebRequest, failed: CallFailed) -> WebResponse:
        """Say why there is no answer, as the room would that was asked."""
        room = self._room(request)
        assert room is not None, "only a room fails"
        return room.failed(request, failed)

    def _room(self, request: WebRequest) -> Room | None:
        rooms = (*self._rooms, *self._public)
        return next((room for room in rooms if room.has(request.path)), None)
