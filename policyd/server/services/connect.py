"""Connect's unary protocol: the methods of gRPC as plain POST requests, in JSON or protobuf.

It only translates: the services of gRPC answer, bytes to bytes. A request's body is its message,
and so is that of an answer; an error has its status and a body in JSON. There is no GET: it would
put access tokens into URLs, which logs keep.

Source: the Connect protocol's reference, version 1, "Unary-Request" and "Unary-Response".
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from http import HTTPStatus
from time import monotonic
from typing import Final

import msgspec

from policyd.diagnostics.json_text import encode_json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.transport.interface import Methods, Unary
from policyd.server.transport.web import (
    RepeatedField,
    WebAnswer,
    WebRequest,
    WebResponse,
    converted,
    plain,
)
from policyd.server.wire.failures import failure
from policyd.server.wire.json_body import read_body
from policyd.server.wire.json_messages import error_details, request_bytes, response_json

_JSON: Final = "application/json"
_PROTO: Final = "application/proto"
_TIMEOUT: Final = re.compile(r"[0-9]{1,10}")
_ACCEPTED: Final = ("Accept-Post", f"{_JSON}, {_PROTO}")
#: Connect's names of codes, and the status of each.
_CODES: Final[Mapping[StatusCode, tuple[str, int]]] = {
    StatusCode.INVALID_ARGUMENT: ("invalid_argument", 400),
    StatusCode.DEADLINE_EXCEEDED: ("deadline_exceeded", 504),
    StatusCode.NOT_FOUND: ("not_found", 404),
    StatusCode.PERMISSION_DENIED: ("permission_denied", 403),
    StatusCode.RESOURCE_EXHAUSTED: ("resource_exhausted", 429),
    StatusCode.UNIMPLEMENTED: ("unimplemented", 501),
    StatusCode.INTERNAL: ("internal", 500),
    StatusCode.UNAVAILABLE: ("unavailable", 503),
    StatusCode.UNAUTHENTICATED: ("unauthenticated", 401),
}
#: What stands in a message beside its values, for each item at most.
_BESIDE: Final = 8


class ConnectService:
    """Says over HTTP what the unary methods among `methods` say.

    A body holds `values` values and the messages of `items` items at most.
    """

    def __init__(self, methods: Methods, values: int, items: int) -> None:
        self._methods = {
            name: method for name, method in methods.items() if isinstance(method, Unary)
        }
        self._most = values + _BESIDE * (items + 1)

    credential = "authorization"

    def has(self, path: str) -> bool:
        """Tell whether a path is that of a method."""
        return path in self._methods

    def answer(self, request: WebRequest) -> WebAnswer:
        """Answer a request. Raises `CallFailed`."""
        method = self._methods.get(request.path)
        if method is None:
            return plain(HTTPStatus.NOT_FOUND)
        if request.method != "POST":
            return plain(HTTPStatus.METHOD_NOT_ALLOWED, "", ("Allow", "POST"))
        try:
            kind = _media_type(request.value("content-type"))
            if kind not in (_JSON, _PROTO):
                return plain(HTTPStatus.UNSUPPORTED_MEDIA_TYPE, "", _ACCEPTED)
            request = _within_time(request)
        except RepeatedField as error:
            raise _invalid(str(error)) from None
        message = request.body
        if kind == _JSON:
            message = request_bytes(request.path, read_body(message, self._most))

        def write(answer: bytes) -> WebResponse:
            if request.time_remaining() == 0:
                return self.failed(request, _TOO_LATE)
            body = response_json(request.path, answer) if kind == _JSON else answer
            return WebResponse(200, body, kind)

        return converted(method.handler(message, request), write)

    def failed(self, _request: WebRequest, failed: CallFailed) -> WebResponse:
        """Write an error: whatever the format of the question, in JSON."""
        name, status = _CODES[failed.code]
        body: dict[str, object] = {"code": name, "message": failed.message}
        if failed.details:
            body["details"] = error_details(failed)
        unknown = failed.code is StatusCode.UNAUTHENTICATED
        headers = (("WWW-Authenticate", "Bearer"),) if unknown else ()
        return WebResponse(status, encode_json(body), _JSON, headers)


def _media_type(value: str | None) -> str:
    return (value or "").partition(";")[0].strip().lower()


def _within_time(request: WebRequest) -> WebRequest:
    """Return the request with its deadline; refuse what Connect's header fields do not allow."""
    version = request.value("connect-protocol-version")
    if version not in (None, "1"):
        raise _invalid("the header field `connect-protocol-version` must be 1")
    encoding = request.value("content-encoding")
    if encoding not in (None, "identity"):
        text = "compressed requests are not read: the only encoding is `identity`"
        raise failure(StatusCode.UNIMPLEMENTED, ErrorReason.MESSAGE_MALFORMED, text)
    timeout = request.value("connect-timeout-ms")
    if timeout is None:
        return request
    if _TIMEOUT.fullmatch(timeout) is None:
        raise _invalid("the header field `connect-timeout-ms` is a number of up to ten digits")
    if int(timeout) == 0:
        raise _TOO_LATE.kept()
    return msgspec.structs.replace(request, until=monotonic() + int(timeout) / 1000)


def _invalid(text: str) -> CallFailed:
    return failure(StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, text, [("", text)])


_TOO_LATE: Final = CallFailed(StatusCode.DEADLINE_EXCEEDED, "the caller's time is over")
