"""Reads a CheckRequest of Envoy: the description of a request that it holds.

Input: the bytes of a CheckRequest. Output: a `HeldByEnvoy`, or `Unreadable`.

Invariants: no content that a client sends causes any other error. Header fields are in `headers` or
in `header_map`; a message with both is unreadable. A body is never read.

Sources: `proto/envoy/service/auth/v3/authorization.proto`; Envoy's documentation of
`envoy.service.auth.v3.AttributeContext`.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import Final
from urllib.parse import unquote_to_bytes

import msgspec
from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256
from google.protobuf.message import DecodeError

from policyd.envoy.service.auth.v3 import authorization_pb2 as messages
from policyd.errors import PolicydError
from policyd.tokens.jws import encode_segment

#: The header fields that are read.
AUTHORIZATION: Final = "authorization"
DPOP: Final = "dpop"
REQUEST_ID: Final = "x-request-id"
_READ: Final = frozenset((AUTHORIZATION, DPOP, REQUEST_ID))
#: The separator with which Envoy joins the values of a repeated field.
_JOINT: Final = b","
#: The longest name of a request, in characters.
_LONGEST_NAME: Final = 512
_CERTIFICATES_KEPT: Final = 1024
_NO_MESSAGE: Final = "this is no message of Envoy's external authorization"


class Unreadable(PolicydError):
    """The message does not describe a request that can be decided."""


class HeldByEnvoy(msgspec.Struct, frozen=True):
    """A request that Envoy holds. `target` is path and query.

    `proofs` are the values of `DPoP`, `certificate` is the thumbprint of the client's certificate
    (RFC 8705, section 3.1), `request_id` its `X-Request-Id`. `extensions` are the
    `context_extensions` of Envoy's configuration.
    """

    method: str
    target: str
    scheme: str
    host: str
    authorization: str
    proofs: tuple[str, ...]
    certificate: str
    request_id: str
    extensions: Mapping[str, str]


def check_request(data: bytes) -> HeldByEnvoy:
    """Read a CheckRequest. Raises `Unreadable`."""
    try:
        attributes = messages.CheckRequest.FromString(data).attributes
        http = attributes.request.http
        fields = _fields(http)
        return HeldByEnvoy(
            _text(http.method, "the method"),
            _text(http.path, "the path"),
            _text(http.scheme, "the scheme"),
            _text(http.host, "the host"),
            _sole(fields[AUTHORIZATION]),
            tuple(_text(value, "a DPoP proof") for value in _separate(fields[DPOP])),
            _certificate(attributes.source.certificate),
            _name(fields[REQUEST_ID]),
            {name: value.decode() for name, value in attributes.context_extensions.items()},
        )
    except DecodeError:
        raise Unreadable(_NO_MESSAGE) from None
    except UnicodeDecodeError:
        raise Unreadable("`context_extensions` hold what is no UTF-8") from None


def _fields(http: messages.AttributeContext.HttpRequest) -> Mapping[str, list[bytes]]:
    """Return the values of those header fields that are read."""
    known, found = http.headers, http.header_map.headers
    if not found:
        return {name: [known[name]] if name in known else [] for name in _READ}
    if known:
        raise Unreadable("`headers` and `header_map` are both filled")
    values: dict[str, list[bytes]] = {name: [] for name in _READ}
    for field in found:
        name = field.key.decode("latin-1").lower()
        if name in values:
            if field.value and field.raw_value and field.value != field.raw_value:
                raise Unreadable(f"`{name}` has two values in one")
            values[name].append(field.raw_value or field.value)
    return values


def _sole(values: list[bytes]) -> str:
    """Return the value of `Authorization`. No credential that is read has a comma."""
    if not values:
        return ""
    if len(values) > 1 or _JOINT in values[0]:
        raise Unreadable("`Authorization` stands several times, or holds a comma")
    return _text(values[0], "`Authorization`")


def _separate(values: list[bytes]) -> list[bytes]:
    """Return the values of a field whose values contain no comma."""
    return [part.strip() for value in values for part in value.split(_JOINT)]


def _name(values: list[bytes]) -> str:
    """Return the request's name for the decision log; empty if it is not a valid name."""
    name = values[0].decode("ascii", "replace") if len(values) == 1 else ""
    return name if len(name) <= _LONGEST_NAME and name.isascii() and name.isprintable() else ""


def _text(value: bytes, what: str) -> str:
    try:
        return value.decode("ascii")
    except UnicodeDecodeError:
        raise Unreadable(f"{what} holds characters that have to be encoded") from None


def _certificate(encoded: bytes) -> str:
    return _thumbprint(encoded) if encoded else ""


@lru_cache(_CERTIFICATES_KEPT)
def _thumbprint(encoded: bytes) -> str:
    """Return base64url of the SHA-256 of a certificate's DER; it comes percent-encoded, in PEM."""
    try:
        read = x509.load_pem_x509_certificate(unquote_to_bytes(encoded))
    except ValueError:
        raise Unreadable("the client's certificate cannot be read") from None
    return encode_segment(read.fingerprint(SHA256())).decode("ascii")
