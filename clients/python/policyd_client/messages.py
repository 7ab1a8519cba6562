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
BatchPartialCheckRequest = _message("policyd.v1.BatchPartialCheckRequest")
BatchPartialCheckResponse = _message("policyd.v1.BatchPartialCheckResponse")
BatchPartialCheckResult = _message("policyd.v1.BatchPartialCheckResult")
CheckRequest = _message("policyd.v1.CheckRequest")
CheckResponse = _message("policyd.v1.CheckResponse")
CheckStreamRequest = _message("policyd.v1.CheckStreamRequest")
CheckStreamResponse = _message("policyd.v1.CheckStreamResponse")
ExplainRequest = _message("policyd.v1.ExplainRequest")
ExplainResponse = _message("policyd.v1.ExplainResponse")
PartialCheckRequest = _message("policyd.v1.PartialCheckRequest")
PartialCheckResponse = _message("policyd.v1.PartialCheckResponse")
FilterCondition = _message("policyd.v1.FilterCondition")
FilterOperand = _message("policyd.v1.FilterOperand")
FilterRequest = _message("policyd.v1.FilterRequest")
FilterResponse = _message("policyd.v1.FilterResponse")
FilterTest = _message("policyd.v1.FilterTest")
FilterValue = _message("policyd.v1.FilterValue")
Resource = _message("policyd.v1.Resource")
SenderProof = _message("policyd.v1.SenderProof")
SeenFact = _message("policyd.v1.SeenFact")
StepUp = _message("policyd.v1.StepUp")
TraceStep = _message("policyd.v1.TraceStep")
Subject = _message("policyd.v1.Subject")
ErrorInfo = _message("google.rpc.ErrorInfo")
Status = _message("google.rpc.Status")
Struct = _message("google.protobuf.Struct")
Value = _message("google.protobuf.Value")
HealthCheckResponse = _message("grpc.health.v1.HealthCheckResponse")


def _number(enumeration: str, name: str) -> int:
    number: int = _POOL.FindEnumTypeByName(f"policyd.v1.{enumeration}").values_by_name[name].number
    return number


SUBJECT_KIND_USER = _number("SubjectKind", "SUBJECT_KIND_USER")
SUBJECT_KIND_APPLICATION = _number("SubjectKind", "SUBJECT_KIND_APPLICATION")
TRUTH_TRUE = _number("Truth", "TRUTH_TRUE")
TRUTH_FALSE = _number("Truth", "TRUTH_FALSE")
EFFECT_ALLOW = _number("Effect", "EFFECT_ALLOW")
EFFECT_DENY = _number("Effect", "EFFECT_DENY")
PARTIAL_OUTCOME_ALLOW = _number("PartialOutcome", "PARTIAL_OUTCOME_ALLOW")
PARTIAL_OUTCOME_MAYBE = _number("PartialOutcome", "PARTIAL_OUTCOME_MAYBE")
FILTER_OUTCOME_ALL = _number("FilterOutcome", "FILTER_OUTCOME_ALL")
FILTER_OUTCOME_SOME = _number("FilterOutcome", "FILTER_OUTCOME_SOME")


def _names(enumeration: str, prefix: str) -> dict[int, str]:
    """Return the names of an enumeration's values by their numbers, in lower case, but for 0."""
    values = _POOL.FindEnumTypeByName(f"policyd.v1.{enumeration}").values
    return {one.number: one.name.removeprefix(prefix).lower() for one in values if one.number}


FILTER_OPERATORS = _names("FilterOperator", "FILTER_OPERATOR_")
FILTER_TYPES = _names("FilterType", "FILTER_TYPE_")
