"""Messages of the contract in ProtoJSON, and back.

Input: a JSON object as `json_body` reads it. Output: the bytes of the message, which are then read
as those of any caller; and the other way round. Members that a message does not have are ignored,
as fields are that protobuf does not know.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Final, cast

from google.protobuf import json_format
from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.wire.failures import failure
from policyd.v1 import authorization_pb2, explanation_pb2

#: The messages of the unary methods: what goes in, and what comes out.
_MESSAGES: Final[Mapping[str, tuple[type[Message], type[Message]]]] = {
    "/policyd.v1.AuthorizationService/Check": (
        authorization_pb2.CheckRequest,
        authorization_pb2.CheckResponse,
    ),
    "/policyd.v1.AuthorizationService/BatchCheck": (
        authorization_pb2.BatchCheckRequest,
        authorization_pb2.BatchCheckResponse,
    ),
    "/policyd.v1.AuthorizationService/PartialCheck": (
        authorization_pb2.PartialCheckRequest,
        authorization_pb2.PartialCheckResponse,
    ),
    "/policyd.v1.AuthorizationService/BatchPartialCheck": (
        authorization_pb2.BatchPartialCheckRequest,
        authorization_pb2.BatchPartialCheckResponse,
    ),
    "/policyd.v1.AuthorizationService/Filter": (
        authorization_pb2.FilterRequest,
        authorization_pb2.FilterResponse,
    ),
    "/policyd.v1.ExplanationService/Explain": (
        explanation_pb2.ExplainRequest,
        explanation_pb2.ExplainResponse,
    ),
}
_DETAILS: Final[tuple[type[Message], ...]] = (ErrorInfo, BadRequest)
_TYPE: Final = "type.googleapis.com/"
_LONGEST: Final = 300


def request_bytes(method: str, value: dict[str, Json]) -> bytes:
    """Return the request of a method that an object spells. Raises `CallFailed`."""
    message = _MESSAGES[method][0]()
    try:
        _check_shape(value, cast(Descriptor, message.DESCRIPTOR))
        json_format.ParseDict(value, message, ignore_unknown_fields=True)
        return message.SerializeToString()
    except (json_format.Error, ValueError, TypeError, OverflowError, RecursionError) as error:
        said = " ".join(str(error).split())[:_LONGEST]
        text = f"not a {message.DESCRIPTOR.full_name} in JSON: {said}"
    raise failure(StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, text, [("", text)])


def _check_shape(value: Json, kind: Descriptor) -> None:
    """See that messages are objects, each member once.

    The library would take a list or a text for an object, or fail.

    Raises ValueError.
    """
    if not isinstance(value, dict):
        raise ValueError(f"`{kind.name}` is an object")
    for field in kind.fields:
        inner = field.message_type
        names = {field.name, field.json_name} & value.keys()
        if len(names) > 1:  # nobody can tell which one counts; the library takes the last
            raise ValueError(f"`{field.name}` stands there in both spellings")
        for name in names:
            found = value[name]
            if inner is None or found is None:
                continue
            several = found if field.is_repeated else [found]
            if not isinstance(several, list):
                raise ValueError(f"`{name}` is a list")
            for one in several:
                if inner.file.package != kind.file.package and isinstance(one, dict):
                    continue
                _check_shape(one, inner)


def response_json(method: str, data: bytes) -> bytes:
    """Return the response of a method in JSON."""
    return json_format.MessageToJson(_MESSAGES[method][1].FromString(data), indent=None).encode()


def error_details(failed: CallFailed) -> list[dict[str, object]]:
    """Return the details of an error as Connect writes them: bytes, and for people JSON."""
    written: list[dict[str, object]] = []
    for packed in Status.FromString(failed.details).details:
        name = packed.type_url.removeprefix(_TYPE)
        value = base64.b64encode(packed.value).rstrip(b"=").decode()
        detail: dict[str, object] = {"type": name, "value": value}
        for kind in _DETAILS:
            if kind.DESCRIPTOR.full_name == name:
                read = kind.FromString(packed.value)
                detail["debug"] = json_format.MessageToDict(read)
        written.append(detail)
    return written
