"""The requests of the contract, read with their Structs left as bytes.

Reading a google.protobuf.Struct through Python, value by value, costs more than the rest of a
request together, and most requests bring Structs that were seen before. So requests are read by a
view of the contract in which a Struct is bytes, and what such bytes hold is remembered.

Invariants: the view is made from the contract's own descriptors, so it cannot drift from them. On
the wire a message field is a length and bytes, as a field of type bytes is; one that stands several
times is merged, which is to join the bytes, so the view keeps each of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol, Self, cast

from google.protobuf import descriptor_pool, message_factory
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
)

from policyd.v1 import authorization_pb2, explanation_pb2

_STRUCT = ".google.protobuf.Struct"
_PACKAGE = "policyd.view"
#: Under which the view stands in the pool of descriptors.
FILE = "policyd/view.proto"


class _View(Protocol):
    @classmethod
    def FromString(cls, data: bytes, /) -> Self: ...  # noqa: N802 (protobuf's names)

    def HasField(self, name: str, /) -> bool: ...  # noqa: N802


class Resource(Protocol):
    """`policyd.v1.Resource`."""

    type: str
    id: str
    properties: Sequence[bytes]


class SenderProof(Protocol):
    """`policyd.v1.SenderProof`."""

    dpop_proofs: Sequence[str]
    http_method: str
    http_uri: str
    client_certificate_sha256: str


class CheckRequest(_View, Protocol):
    """`policyd.v1.CheckRequest`."""

    access_token: str
    api: str
    action: str
    resource: Resource
    context: Sequence[bytes]
    proof: SenderProof
    request_id: str


class PartialCheckRequest(CheckRequest, Protocol):
    """`policyd.v1.PartialCheckRequest`, which has all that a CheckRequest has."""

    assumed_unknown: Sequence[str]


class FilterRequest(_View, Protocol):
    """`policyd.v1.FilterRequest`."""

    access_token: str
    api: str
    action: str
    resource_type: str
    context: Sequence[bytes]
    proof: SenderProof
    request_id: str


class CheckStreamRequest(_View, Protocol):
    """`policyd.v1.CheckStreamRequest`."""

    id: str
    request: CheckRequest


class ExplainRequest(_View, Protocol):
    """`policyd.v1.ExplainRequest`."""

    request: CheckRequest


class BatchCheckItem(Protocol):
    """`policyd.v1.BatchCheckItem`."""

    id: str
    action: str
    resource: Resource


class BatchCheckRequest(_View, Protocol):
    """`policyd.v1.BatchCheckRequest`."""

    access_token: str
    api: str
    context: Sequence[bytes]
    proof: SenderProof
    items: Sequence[BatchCheckItem]
    request_id: str


class BatchPartialCheckRequest(BatchCheckRequest, Protocol):
    """`policyd.v1.BatchPartialCheckRequest`, which has all that a BatchCheckRequest has."""

    assumed_unknown: Sequence[str]


def _view() -> FileDescriptorProto:
    """Return the contract's requests with repeated bytes for each Struct, in one file."""
    file = FileDescriptorProto()
    authorization_pb2.DESCRIPTOR.CopyToProto(file)
    explanation_pb2.ExplainRequest.DESCRIPTOR.CopyToProto(file.message_type.add())
    package = f".{file.package}."
    file.name, file.package = FILE, _PACKAGE
    del file.service[:]
    for message in file.message_type:
        _leave_structs(message, package)
    return file


def _leave_structs(message: DescriptorProto, package: str) -> None:
    for field in message.field:
        if field.type_name == _STRUCT:
            field.ClearField("type_name")
            field.type = FieldDescriptorProto.TYPE_BYTES
            field.label = FieldDescriptorProto.LABEL_REPEATED
        elif field.type_name.startswith(package):
            field.type_name = f".{_PACKAGE}.{field.type_name.removeprefix(package)}"


_pool = descriptor_pool.Default()
_pool.AddSerializedFile(_view().SerializeToString())


def _class(name: str) -> object:
    return message_factory.GetMessageClass(_pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))


CHECK_REQUEST = cast("type[CheckRequest]", _class("CheckRequest"))
CHECK_STREAM_REQUEST = cast("type[CheckStreamRequest]", _class("CheckStreamRequest"))
BATCH_CHECK_REQUEST = cast("type[BatchCheckRequest]", _class("BatchCheckRequest"))
PARTIAL_CHECK_REQUEST = cast("type[PartialCheckRequest]", _class("PartialCheckRequest"))
BATCH_PARTIAL_CHECK_REQUEST = cast(
    "type[BatchPartialCheckRequest]", _class("BatchPartialCheckRequest")
)
FILTER_REQUEST = cast("type[FilterRequest]", _class("FilterRequest"))
EXPLAIN_REQUEST = cast("type[ExplainRequest]", _class("ExplainRequest"))
#: The number of the field that holds the items of a batch, of either kind.
BATCH_ITEMS = authorization_pb2.BatchCheckRequest.DESCRIPTOR.fields_by_name["items"].number
