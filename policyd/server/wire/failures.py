"""Errors of calls, with the details that google.rpc defines for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from google.protobuf.any_pb2 import Any as AnyMessage
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from policyd.decision.errors import InvalidRequest, NotReady
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.failures import ErrorReason, Failure, of_error, of_field

ERROR_DOMAIN = "policyd"


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
    return CallFailed(code, message, status.SerializeToString(), reason)


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
    return _failed(of_field(field, description, reason, code))


def malformed(name: str) -> CallFailed:
    """Return the error for bytes that are no message of that name."""
    text = f"not a {name} message"
    return failure(StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, text, [("", text)])


def refused(error: InvalidRequest | NotReady, at: str = "") -> CallFailed:
    """Return the error of a call on which there is no decision.

    `at` is where the question stands in the request message, such as `request.`.
    """
    return _failed(of_error(error, at))


def _failed(told: Failure) -> CallFailed:
    return failure(told.code, told.reason, told.message, told.violations, told.metadata)
