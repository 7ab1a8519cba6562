"""Why a call gets no answer, before it is written in a protocol."""

from __future__ import annotations

from collections.abc import Mapping
from enum import StrEnum

import msgspec

from policyd.decision.errors import InvalidRequest, NotReady
from policyd.pdp.calls import StatusCode


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


class Failure(msgspec.Struct, frozen=True):
    """A failure: its status, policyd's own reason, and a word for people.

    `violations` are pairs of a field's path and what is wrong with it, `metadata` says more of the
    reason, for programs.
    """

    code: StatusCode
    reason: str
    message: str
    violations: tuple[tuple[str, str], ...] = ()
    metadata: Mapping[str, str] = {}


def of_field(
    field: str,
    description: str,
    reason: ErrorReason,
    code: StatusCode = StatusCode.INVALID_ARGUMENT,
) -> Failure:
    """Return the failure of one field of a question, named by its path."""
    return Failure(code, reason, f"{field}: {description}", ((field, description),))


def of_error(error: InvalidRequest | NotReady, at: str = "") -> Failure:
    """Return the failure of a question on which there is no decision.

    `at` is where the question stands in what was sent, such as `request.`.
    """
    if isinstance(error, NotReady):
        return Failure(StatusCode.UNAVAILABLE, ErrorReason.POLICY_NOT_LOADED, str(error))
    field = at + error.field
    description = error.description
    metadata = {"field": field}
    if error.suggestion is not None:
        description += f"; did you mean `{error.suggestion}`?"
        metadata["suggestion"] = error.suggestion
    return Failure(
        StatusCode.INVALID_ARGUMENT,
        error.code,
        f"{field}: {description}",
        ((field, description),),
        metadata,
    )
