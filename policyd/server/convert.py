"""Protobuf to the model and back. Beside it only `convert_explanation` knows `policyd.v1`.

In come the bytes of a request, out go the model's questions, or `CallFailed` with INVALID_ARGUMENT
for bytes that are no message. In come decisions, out go the bytes of a response. Parsing is here,
not in gRPC's deserialiser, because gRPC answers INTERNAL when that fails.

Invariants: every whole message that a caller can send becomes a question or INVALID_ARGUMENT. A
`Value` without a kind, or with a number that JSON does not have, is not a JSON value.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Mapping, Sequence
from enum import StrEnum
from typing import TypeVar

import msgspec
from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import DecodeError, Message
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from policyd.decision.model import BatchItem, Decision, Request
from policyd.server.transport import CallFailed, StatusCode
from policyd.tokens.model import NO_PROOF, Json, SenderProof
from policyd.v1 import authorization_pb2 as messages

ERROR_DOMAIN = "policyd"


class ErrorReason(StrEnum):
    """Reasons of google.rpc.ErrorInfo, beside the codes of `decision.errors.InvalidRequest`."""

    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    VALUE_INVALID = "VALUE_INVALID"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    POLICY_NOT_LOADED = "POLICY_NOT_LOADED"
    UNKNOWN_SERVICE = "UNKNOWN_SERVICE"


_KINDS = {
    None: messages.SUBJECT_KIND_UNSPECIFIED,
    "user": messages.SUBJECT_KIND_USER,
    "application": messages.SUBJECT_KIND_APPLICATION,
}
_LONGEST_PATH = 200
_INFINITE = (float("inf"), float("-inf"))
_calls = itertools.count()

M = TypeVar("M", bound=Message)


class Question(msgspec.Struct, frozen=True):
    """A request and the caller's own name for it."""

    request: Request
    request_id: str


class Batch(msgspec.Struct, frozen=True):
    """Questions that share token, API, context and proof. An item may be malformed by itself."""

    access_token: str
    api: str
    context: Mapping[str, Json]
    request_id: str
    ids: tuple[str, ...]
    items: tuple[BatchItem | CallFailed, ...]
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


def malformed(kind: type[Message]) -> CallFailed:
    """Return the error for bytes that are no message of `kind`."""
    text = f"not a {kind.DESCRIPTOR.full_name} message"
    return failure(StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, text, [("", text)])


def _parse(kind: type[M], data: bytes) -> M:
    try:
        return kind.FromString(data)
    except DecodeError:
        raise malformed(kind) from None


# Requests


def check_request(data: bytes) -> Question:
    """Read a CheckRequest."""
    return question(_parse(messages.CheckRequest, data))


def question(message: messages.CheckRequest, at: str = "") -> Question:
    """Read a CheckRequest that stands at `at` in another message, such as `request.`."""
    resource = message.resource
    return Question(
        Request(
            message.access_token,
            message.api,
            message.action,
            resource.type,
            resource.id,
            _object(resource.properties, "resource.properties", at),
            _object(message.context, "context", at) if message.HasField("context") else {},
            _proof(message.proof, message.request_id) if message.HasField("proof") else NO_PROOF,
        ),
        message.request_id,
    )


def _proof(message: messages.SenderProof, request_id: str) -> SenderProof:
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
    message = _parse(messages.BatchCheckRequest, data)
    return Batch(
        message.access_token,
        message.api,
        _object(message.context, "context"),
        message.request_id,
        tuple(item.id for item in message.items),
        tuple(_item(item) for item in message.items),
        _proof(message.proof, message.request_id) if message.HasField("proof") else NO_PROOF,
    )


def _item(message: messages.BatchCheckItem) -> BatchItem | CallFailed:
    resource = message.resource
    try:
        attributes = _object(resource.properties, "resource.properties")
    except CallFailed as failed:
        return failed
    return BatchItem(message.action, resource.type, resource.id, attributes)


def check_stream_request(data: bytes) -> StreamQuestion:
    """Read a CheckStreamRequest."""
    message = _parse(messages.CheckStreamRequest, data)
    try:
        return StreamQuestion(message.id, question(message.request, "request."))
    except CallFailed as failed:
        return StreamQuestion(message.id, failed)


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


# Responses


def check_response(decision: Decision, decision_id: str) -> bytes:
    """Write a CheckResponse."""
    message = messages.CheckResponse()
    fill(message, decision, decision_id)
    return message.SerializeToString()


def fill(message: messages.CheckResponse, decision: Decision, decision_id: str) -> None:
    """Write a decision into an empty CheckResponse."""
    # Setting fields one by one takes half the time of passing them to the constructor.
    message.allowed = decision.allowed
    message.reason = decision.reason
    message.message = decision.message
    message.http_status = decision.http_status
    message.decision_id = decision_id
    message.policy_revision = decision.revision
    if decision.rules:
        message.rules.extend(decision.rules)
        message.rules_truncated = decision.rules_truncated
    if decision.missing_scopes:
        message.missing_scopes.extend(decision.missing_scopes)
    if decision.www_authenticate:
        message.www_authenticate = decision.www_authenticate
    if decision.retry_after is not None:
        message.retry_after_seconds = decision.retry_after
    if decision.dpop_nonce:
        message.dpop_nonce = decision.dpop_nonce
    if decision.cacheable_until is not None:
        message.cacheable_until.seconds = decision.cacheable_until
    token = decision.token
    if token is not None:
        subject = message.subject
        subject.issuer = token.issuer
        subject.kind = _KINDS[token.kind]
        if token.subject is not None:
            subject.subject = token.subject
        if token.client is not None:
            subject.client = token.client


Outcome = tuple[Decision, str] | CallFailed


def batch_check_response(ids: Sequence[str], outcomes: Sequence[Outcome]) -> bytes:
    """Write a BatchCheckResponse. `ids` and `outcomes` are by item, in order."""
    message = messages.BatchCheckResponse()
    for item_id, outcome in zip(ids, outcomes, strict=True):
        _put(message.results.add(id=item_id), outcome)
    return message.SerializeToString()


def check_stream_response(question_id: str, outcome: Outcome) -> bytes:
    """Write a CheckStreamResponse."""
    message = messages.CheckStreamResponse(id=question_id)
    _put(message, outcome)
    return message.SerializeToString()


def _put(
    message: messages.BatchCheckResult | messages.CheckStreamResponse, outcome: Outcome
) -> None:
    if isinstance(outcome, CallFailed):
        message.error.ParseFromString(outcome.details)
    else:
        fill(message.response, *outcome)
