"""The messages of `policyd.v1`, and those of `google.rpc` and `grpc.health.v1` that come with them.

`messages.binpb` holds their descriptors, a serialised google.protobuf.FileDescriptorSet that
`make proto` writes. Classes are made of it here. Code that protoc generates would refuse every
protobuf runtime that is older than protoc; descriptors are read by all of them, so this package can
stand beside whatever protobuf a service already needs.

The pool is this package's own. A service that has the same messages from its own generated code, in
another version perhaps, meets no conflict.
"""

from __future__ import annotations

from importlib.resources import files

from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

_POOL = DescriptorPool()
for _file in FileDescriptorSet.FromString(
    files(__package__).joinpath("messages.binpb").read_bytes()
).file:
    _POOL.AddSerializedFile(_file.SerializeToString())


def _message(name: str) -> type[Message]:
    return GetMessageClass(_POOL.FindMessageTypeByName(name))


BatchCheckItem = _message("policyd.v1.BatchCheckItem")
BatchCheckRequest = _message("policyd.v1.BatchCheckRequest")
BatchCheckResponse = _message("policyd.v1.BatchCheckResponse")
BatchCheckResult = _message("policyd.v1.BatchCheckResult")
CheckRequest = _message("policyd.v1.CheckRequest")
CheckResponse = _message("policyd.v1.CheckResponse")
Resource = _message("policyd.v1.Resource")
SenderProof = _message("policyd.v1.SenderProof")
ErrorInfo = _message("google.rpc.ErrorInfo")
Status = _message("google.rpc.Status")
Struct = _message("google.protobuf.Struct")
HealthCheckResponse = _message("grpc.health.v1.HealthCheckResponse")

_kinds = _POOL.FindEnumTypeByName("policyd.v1.SubjectKind").values_by_name
SUBJECT_KIND_USER = _kinds["SUBJECT_KIND_USER"].number
SUBJECT_KIND_APPLICATION = _kinds["SUBJECT_KIND_APPLICATION"].number
