"""What becomes of a request that Envoy holds: decisions to CheckResponses.

Input: a decision that allows, or a refusal. Output: bytes.

Invariants: Envoy lets a request pass for a status code of 0, whatever else the message says, and an
empty message has that code. So `allowed` is the one function that writes none, for a decision that
allows; `denied` writes another first of all. An allowing answer sets every identity field, empty if
need be, and removes their other spellings, so that none of the client's reaches the service.

Parts of an allowing answer that many share are written once and spliced.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from policyd.config.identity_names import NAMES, IdentityNames
from policyd.decision.model import Decision
from policyd.diagnostics.terminal import printable
from policyd.envoy.service.auth.v3 import authorization_pb2 as messages
from policyd.server.wire.identity import encoded
from policyd.server.wire.splice import delimited, tag

_OK: Final = 0
#: google.rpc.Code. Envoy only asks whether it is 0; these are for its statistics and logs.
_INVALID_ARGUMENT, _PERMISSION_DENIED, _UNAVAILABLE, _UNAUTHENTICATED = 3, 7, 14, 16
_CODES: Final = {
    400: _INVALID_ARGUMENT,
    401: _UNAUTHENTICATED,
    403: _PERMISSION_DENIED,
    503: _UNAVAILABLE,
}
_LOWEST, _HIGHEST, _FORBIDDEN = 400, 599, 403
#: Characters of a body: for callers over gRPC it becomes `grpc-message`, which is a header field.
_SHOWN: Final = 200
_KEPT: Final = 1024

_STATUS: Final = tag(messages.CheckResponse, "status")
_OK_RESPONSE: Final = tag(messages.CheckResponse, "ok_response")
_METADATA: Final = tag(messages.CheckResponse, "dynamic_metadata")
_HEADERS: Final = tag(messages.OkHttpResponse, "headers")
_REMOVED: Final = tag(messages.OkHttpResponse, "headers_to_remove")
_ADDED: Final = tag(messages.OkHttpResponse, "response_headers_to_add")
_HEADER: Final = tag(messages.HeaderValueOption, "header")
_NAME_OF_HEADER: Final = tag(messages.HeaderValue, "key")
_VALUE_OF_HEADER: Final = tag(messages.HeaderValue, "value")
_CREDENTIALS: Final = ("authorization", "dpop")

Fields = Iterable[tuple[str, str]]


class AllowedWriter:
    """Writes what lets a request pass. `names` are those of the identity fields.

    With `strip_token`, the service does not get the token, nor a proof.
    """

    def __init__(self, names: IdentityNames = NAMES, *, strip_token: bool = False) -> None:
        removed = [*names.spellings(), *(_CREDENTIALS if strip_token else ())]
        self._removed = b"".join(delimited(_REMOVED, name.encode()) for name in removed)
        self._names = names
        self._decision_id = delimited(_NAME_OF_HEADER, names.decision_id.encode())
        self._subject = lru_cache(_KEPT)(self._write_subject)

    def write(self, decision: Decision, decision_id: str) -> bytes:
        """Write the answer for a decision that allows."""
        token = decision.token
        assert decision.allowed
        assert token is not None
        told = delimited(_VALUE_OF_HEADER, decision_id.encode())
        inner = b"".join(
            (
                self._removed,
                self._subject(token.subject, token.client),
                delimited(_HEADERS, delimited(_HEADER, self._decision_id + told)),
                *(delimited(_ADDED, _field(*one)) for one in nonce(decision)),
            )
        )
        status = delimited(_STATUS, b"")
        return status + delimited(_OK_RESPONSE, inner) + metadata(decision, decision_id)

    def _write_subject(self, subject: str | None, client: str | None) -> bytes:
        pairs = ((self._names.subject, subject), (self._names.client, client))
        return b"".join(delimited(_HEADERS, _field(name, encoded(value))) for name, value in pairs)


def denied(status: int, said: str, headers: Fields = (), told: bytes = b"") -> bytes:
    """Write what the client is answered: an HTTP status, header fields, and a short text.

    `told` is the `metadata` of a decision, where there is one.
    """
    if not _LOWEST <= status <= _HIGHEST:
        status = _FORBIDDEN
    code, body = _CODES.get(status, _PERMISSION_DENIED), _short(said)
    refusal = messages.DeniedHttpResponse(
        status=messages.HttpStatus(code=status), headers=map(_option, headers), body=body
    )
    response = messages.CheckResponse(denied_response=refusal)
    # The status on its own and first, so that no part of the answer is one that allows.
    outcome = messages.CheckResponse()
    outcome.status.code = code
    outcome.status.message = body
    return b"".join((outcome.SerializeToString(), response.SerializeToString(), told))


def metadata(decision: Decision, decision_id: str) -> bytes:
    """Write what Envoy's access log and other filters may read of a decision."""
    token, until = decision.token, decision.cacheable_until
    known = _metadata(
        decision.allowed,
        decision.reason,
        decision.rules,
        None if token is None else token.subject,
        decision.revision,
        decision.commit,
    )
    value = delimited(_VALUE, delimited(_TEXT, decision_id.encode()))
    entries = [known, delimited(_FIELDS, _DECISION_ID + value)]
    if until is not None:
        entries.append(_moment(until))
    return delimited(_METADATA, b"".join(entries))


def nonce(decision: Decision) -> Fields:
    """Return the field that tells a client of the nonce for its next proof, if there is one."""
    return (("DPoP-Nonce", decision.dpop_nonce),) if decision.dpop_nonce else ()


@lru_cache(_KEPT)
def _metadata(
    allowed: bool,
    reason: str,
    rules: tuple[str, ...],
    subject: str | None,
    revision: str,
    commit: str,
) -> bytes:
    """Write what decisions of one outcome about one subject share."""
    struct = messages.CheckResponse().dynamic_metadata
    struct.update({"allowed": allowed, "reason": str(reason), "policy_revision": revision})
    struct.update({"rules": list(rules)})
    if commit:
        struct.update({"policy_commit": commit})
    if subject is not None:
        struct.update({"subject": subject})
    written: bytes = struct.SerializeToString()
    return written


@lru_cache(_KEPT)
def _moment(seconds: int) -> bytes:
    struct = messages.CheckResponse().dynamic_metadata
    struct.update({"cacheable_until": seconds})
    written: bytes = struct.SerializeToString()
    return written


#: google/protobuf/struct.proto: a Struct's map of key and value, and a Value's text.
_FIELDS, _KEY, _VALUE, _TEXT = b"\x0a", b"\x0a", b"\x12", b"\x1a"
_DECISION_ID: Final = delimited(_KEY, b"decision_id")


def _field(name: str, value: str) -> bytes:
    """Write a header field to set."""
    written: bytes = _option((name, value)).SerializeToString()
    return written


def _option(field: tuple[str, str]) -> messages.HeaderValueOption:
    name, value = field
    header = messages.HeaderValue(key=name.encode(), value=value.encode())
    return messages.HeaderValueOption(header=header)


def _short(said: str) -> str:
    text = printable(said).encode("ascii", "backslashreplace").decode("ascii")
    return "".join(one if one.isprintable() else "?" for one in text[:_SHOWN])
