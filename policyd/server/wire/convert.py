"""Requests to the model's questions; `convert_response` is the way back.

In come the bytes of a request, out go questions, or `CallFailed` with INVALID_ARGUMENT for bytes
that are no message. Parsing is here, not in gRPC's deserialiser, because gRPC answers INTERNAL when
that fails.

Invariants: every whole message that a caller can send becomes a question or INVALID_ARGUMENT. A
`Value` without a kind, or with a number that JSON does not have, is not a JSON value.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from policyd.decision.model import BatchItem, Request
from policyd.server.transport.interface import CallFailed, StatusCode
from policyd.server.wire import view
from policyd.tokens.model import NO_PROOF, Json, SenderProof

ERROR_DOMAIN = "policyd"


class ErrorReason(StrEnum):
    """Reasons of google.rpc.ErrorInfo, beside the codes of `decision.errors.InvalidRequest`."""

    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    VALUE_INVALID = "VALUE_INVALID"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    POLICY_NOT_LOADED = "POLICY_NOT_LOADED"
    UNKNOWN_SERVICE = "UNKNOWN_SERVICE"


_LONGEST_PATH = 200
_INFINITE = (float("inf"), float("-inf"))
_calls = itertools.count()


class Question(msgspec.Struct, frozen=True, gc=False):
    """A request and the caller's own name for it."""

    request: Request
    request_id: str


class Batch(msgspec.Struct, frozen=True):
    """Questions that share token, API, context and proof. An item may be malformed by itself."""

    access_token: str
    api: str
    context: Mapping[str, Json]
    request_id: str
    ids: Sequence[str]
    items: Sequence[BatchItem | CallFailed]
    proof: SenderProof = NO_PROOF


class StreamQuestion(msgspec.Struct, frozen=True):
    """A question of a stream. It may be malformed by itself."""

    id: str
    question: Question | CallFailed


def failure(
    code: StatusCode,
    reason: str,
    message: str,
    violations: Iterable[tuple[str, str]] = (),
    metadata: Mapping[str, str] | None = None,
) -> CallFailed:
    """Return the error of a call, with its google.rpc details.

    `reason` is the one of google.rpc.ErrorInfo; `violations` are pairs of a field's path and what
    is wrong with it, for google.rpc.BadRequest.
    """
    details: list[Message] = [ErrorInfo(reason=reason, domain=ERROR_DOMAIN, metadata=metadata)]
    fields = [
        BadRequest.FieldViolation(field=field, description=text) for field, text in violations
    ]
    if fields:
        details.append(BadRequest(field_violations=fields))
    status = Status(code=code, message=message, details=[_packed(detail) for detail in details])
    return CallFailed(code, message, status.SerializeToString())


def _packed(message: Message) -> AnyMessage:
    packed = AnyMessage()
    packed.Pack(message)
    return packed


def malformed(name: str) -> CallFailed:
    """Return the error for bytes that are no message of that name."""
    text = f"not a {name} message"
    return failure(StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, text, [("", text)])


# Requests


def check_request(data: bytes, at: str = "") -> Question:
    """Read a CheckRequest that stands at `at` in another message, such as `request.`."""
    try:
        return _question(view.CHECK_REQUEST.FromString(data), at)
    except DecodeError:
        raise malformed("policyd.v1.CheckRequest") from None


def _question(message: view.CheckRequest, at: str) -> Question:
    resource = message.resource
    properties, context = resource.properties, message.context
    return Question(
        Request(
            message.access_token,
            message.api,
            message.action,
            resource.type,
            resource.id,
            _struct(properties, "resource.properties", at) if properties else {},
            _struct(context, "context", at) if context else {},
            _proof(message.proof, message.request_id) if message.HasField("proof") else NO_PROOF,
        ),
        message.request_id,
    )


def _proof(message: view.SenderProof, request_id: str) -> SenderProof:
    """Read what came along with a token. A request without a name is told from all others."""
    return SenderProof(
        tuple(message.dpop_proofs),
        message.http_method,
        message.http_uri,
        message.client_certificate_sha256,
        f"request {request_id}" if request_id else f"call {next(_calls)}",
    )


def batch_check_request(data: bytes) -> Batch:
    """Read a BatchCheckRequest."""
    try:
        message = view.BATCH_CHECK_REQUEST.FromString(data)
        context = _struct(message.context, "context")
        ids: list[str] = []
        items: list[BatchItem | CallFailed] = []
        for item in message.items:
            ids.append(item.id)
            resource = item.resource
            try:
                attributes = _struct(resource.properties, "resource.properties")
            except CallFailed as failed:
                items.append(failed)
            else:
                items.append(BatchItem(item.action, resource.type, resource.id, attributes))
        return Batch(
            message.access_token,
            message.api,
            context,
            message.request_id,
            ids,
            items,
            _proof(message.proof, message.request_id) if message.HasField("proof") else NO_PROOF,
        )
    except DecodeError:
        raise malformed("policyd.v1.BatchCheckRequest") from None


def check_stream_request(data: bytes) -> StreamQuestion:
    """Read a CheckStreamRequest."""
    try:
        message = view.CHECK_STREAM_REQUEST.FromString(data)
        try:
            return StreamQuestion(message.id, _question(message.request, "request."))
        except CallFailed as failed:
            return StreamQuestion(message.id, failed)
    except DecodeError:
        raise malformed("policyd.v1.CheckStreamRequest") from None


#: What the bytes of a Struct hold, for those seen lately.
_structs: dict[bytes, dict[str, Json]] = {}
_STRUCTS_KEPT = 2048
_LONGEST_KEPT = 256


def _struct(parts: Sequence[bytes], path: str, at: str = "") -> Mapping[str, Json]:
    """Read the bytes of a Struct that stands at `path`, in a message that stands at `at`.

    The same bytes may give the same object, which is not to be changed.
    """
    data = parts[0] if len(parts) == 1 else b"".join(parts)
    known = _structs.get(data)
    if known is not None:
        return known
    values = _object(Struct.FromString(data), path, at)
    if len(data) <= _LONGEST_KEPT:
        # Each step is atomic, so threads may do this at the same time.
        if len(_structs) >= _STRUCTS_KEPT:
            _structs.clear()
        _structs[data] = values
    return values


def _object(struct: Struct, path: str, at: str = "") -> dict[str, Json]:
    """Read a Struct that stands at `path`, in a message that stands at `at`."""
    return {name: _json(value, path, name, at) for name, value in struct.fields.items()}


def _json(value: Value, path: str, name: str, at: str) -> Json:
    kind = value.WhichOneof("kind")
    if kind == "string_value":
        return value.string_value
    if kind == "bool_value":
        return value.bool_value
    if kind == "number_value":
        number = value.number_value
        if number != number or number in _INFINITE:
            raise _no_json(f"{at}{path}.{name}", "NaN and infinite numbers are no JSON values")
        return number
    if kind == "null_value":
        return None
    path = f"{path}.{name}"
    if kind == "list_value":
        return [_json(entry, path, str(i), at) for i, entry in enumerate(value.list_value.values)]
    if kind == "struct_value":
        return _object(value.struct_value, path, at)
    raise _no_json(f"{at}{path}", "a Value without a kind is no JSON value")


def _no_json(field: str, description: str) -> CallFailed:
    if len(field) > _LONGEST_PATH:  # an error must fit in a header
        field = field[:_LONGEST_PATH] + "…"
    return failure(
        StatusCode.INVALID_ARGUMENT,
        ErrorReason.VALUE_INVALID,
        f"{field}: {description}",
        [(field, description)],
    )
