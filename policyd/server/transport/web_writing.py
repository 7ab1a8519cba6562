"""Responses over HTTP/1.1 as bytes (RFC 9112, section 4)."""

from __future__ import annotations

from email.utils import formatdate
from http import HTTPStatus
from time import time

from policyd.server.transport.web import Fields, WebResponse

#: The field `Date` of the current second.
_date = (0, "")


def written(response: WebResponse, *, last: bool, head: bool) -> bytes:
    """Write a response (RFC 9112, section 4)."""
    global _date
    second = int(time())
    if _date[0] != second:
        _date = (second, formatdate(second, usegmt=True))
    fields: Fields = (
        ("Date", _date[1]),
        ("Content-Length", str(len(response.body))),
        *response.headers,
    )
    if not any(name == "Cache-Control" for name, _ in response.headers):
        fields += (("Cache-Control", "no-store"),)
    if response.content_type:
        fields += (("Content-Type", response.content_type), ("X-Content-Type-Options", "nosniff"))
    if last:
        fields += (("Connection", "close"),)
    text = f"HTTP/1.1 {response.status} {_phrase(response.status)}\r\n"
    text += "".join([f"{name}: {value}\r\n" for name, value in fields])
    data = f"{text}\r\n".encode("latin-1", "replace")
    return data if head else data + response.body


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # such as Connect's 499
        return "Error"
