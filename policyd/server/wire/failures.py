"""Errors of calls, with the details that google.rpc defines for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from enum import StrEnum

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from policyd.decision.errors import InvalidRequest, NotReady
from policyd.pdp.calls import CallFailed, StatusCode

ERROR_DOMAIN = "policyd"


class ErrorReason(StrEnum):
    """Reasons of google.rpc.ErrorInfo, beside the codes of `decision.errors.InvalidRequest`."""

    MESSAGE_MALFORMED = "MESSAGE_MALFORMED"
    VALUE_INVALID = "VALUE_INVALID"
    FIELD_TOO_LONG = "FIELD_TOO_LONG"
    TOO_MANY_VALUES = "TOO_MANY_VALUES"
    BATCH_TOO_LARGE = "BATCH_TOO_LARGE"
    TOO_MANY_STREAMS = "TOO_MANY_STREAMS"
    POLICY_NOT_LOADED = "POLICY_NOT_LOADED"
    LOG_UNAVAILABLE = "LOG_UNAVAILABLE"
    UNKNOWN_SERVICE = "UNKNOWN_SERVICE"
    CALLER_REFUSED = "CALLER_REFUSED"


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
    """Pack a message as `AnyMessage.Pack` does, in half the time: a batch may have many errors."""
    return AnyMessage(
        type_url=f"type.googleapis.com/{message.DESCRIPTOR.full_name}",
        value=message.SerializeToString(),
    )


def field_failure(
    field: str,
    description: str,
    reason: ErrorReason,
    code: StatusCode = StatusCode.INVALID_ARGUMENT,
) -> CallFailed:
    """Return the error for one field of a request, named by its path."""
    return failure(code, reason, f"{field}: {description}", [(field, description)])


def malformed(name: str) -> CallFailed:
    """Return the error for bytes that are no message of that name."""
    text = f"not a {name} message"
    return failure(StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, text, [("", text)])


def refused(error: InvalidRequest | NotReady, at: str = "") -> CallFailed:
    """Return the error of a call on which there is no decision.

    `at` is where the question stands in the request message, such as `request.`.
    """
    if isinstance(error, NotReady):
        return failure(StatusCode.UNAVAILABLE, ErrorReason.POLICY_NOT_LOADED, str(error))
    field = at + error.field
    description = error.description
    metadata = {"field": field}
    if error.suggestion is not None:
        description += f"; did you mean `{error.suggestion}`?"
        metadata["suggestion"] = error.suggestion
    return failure(
        StatusCode.INVALID_ARGUMENT,
        error.code,
        f"{field}: {description}",
        [(field, description)],
        metadata,
    )
