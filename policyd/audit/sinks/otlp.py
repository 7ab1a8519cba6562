"""Records as log records of OpenTelemetry, for a collector: OTLP over HTTP, in Protobuf.

Each record of the decision log becomes one log record. Its body is the line as it was written, so
that a collector can pass it on to programs that read the decision log. A few fields are attributes
too, for filters and routes. `HttpDestination` sends it, and interprets the answer's status.
OpenTelemetry's own exporter does not fit: it reports that a batch failed but not why, so one record
that a collector refuses would block all others for ever.

Sources: OTLP Specification 1.9, sections "OTLP/HTTP Request" and "Partial Success"; the logs data
model of OpenTelemetry.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec
from google.protobuf.message import DecodeError
from opentelemetry.proto.collector.logs.v1.logs_service_pb2 import (
    ExportLogsServiceRequest,
    ExportLogsServiceResponse,
)
from opentelemetry.proto.common.v1.common_pb2 import KeyValue
from opentelemetry.proto.logs.v1.logs_pb2 import SEVERITY_NUMBER_INFO, SEVERITY_NUMBER_WARN

from policyd import __version__
from policyd.tokens.details import escaped

#: Fields of a record that become attributes, in the namespace `policyd`.
_ATTRIBUTES: Final = (
    *("decision_id", "api", "action", "resource_type", "effect", "reason"),
    *("revision", "request_id", "caller"),
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = 1000


class _Line(msgspec.Struct, frozen=True):
    """The fields that are read from a line. A line of another shape is sent too, without
    attributes."""

    type: str = "record"
    time: datetime | None = None
    trace_id: str = ""
    decision_id: str = ""
    api: str = ""
    action: str = ""
    resource_type: str = ""
    effect: str = ""
    reason: str = ""
    revision: str = ""
    request_id: str = ""
    caller: str = ""


_decoder: Final = msgspec.json.Decoder(_Line)


class OtlpForm:
    """Batches in the format of OTLP; see `policyd.audit.sinks.http.Form`."""

    content_type = "application/x-protobuf"

    def body(self, records: Sequence[bytes]) -> bytes:
        """Return an `ExportLogsServiceRequest`."""
        request = ExportLogsServiceRequest()
        of_resource = request.resource_logs.add()
        for name, value in (("service.name", "policyd"), ("service.version", __version__)):
            of_resource.resource.attributes.append(_pair(name, value))
        scope = of_resource.scope_logs.add()
        scope.scope.name, scope.scope.version = "policyd.decision_log", __version__
        for record in records:
            line = _read(record)
            log = scope.log_records.add(
                event_name=f"policyd.{line.type}",
                severity_number=_severity(line),
                attributes=[
                    _pair(f"policyd.{name}", value)
                    for name in _ATTRIBUTES
                    if (value := getattr(line, name))
                ],
            )
            log.body.string_value = record.decode("utf-8", "replace")
            if line.time is not None:
                log.time_unix_nano = _nanoseconds(line.time)
            if len(line.trace_id) == 32:
                log.trace_id = bytes.fromhex(line.trace_id)
        return request.SerializeToString()

    def problem(self, answer: bytes) -> str | None:
        """Return the problem of an answer with status 2xx: rejected records ("Partial Success")."""
        try:
            partial = ExportLogsServiceResponse.FromString(answer).partial_success
        except DecodeError:
            return None  # such as the text of a proxy, which does not concern records
        if not partial.rejected_log_records:
            return None
        why = f": {escaped(partial.error_message)}" if partial.error_message else ""
        return f"rejected {partial.rejected_log_records} of them{why}"


def _read(record: bytes) -> _Line:
    try:
        return _decoder.decode(record)
    except (msgspec.DecodeError, UnicodeDecodeError):
        return _Line()


def _severity(line: _Line) -> int:
    """Return INFO for allows, and WARN for everything that somebody may want to look at."""
    return SEVERITY_NUMBER_INFO if line.effect == "allow" else SEVERITY_NUMBER_WARN


def _nanoseconds(moment: datetime) -> int:
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    since = moment - _EPOCH
    whole = (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds
    return max(0, whole) * _MICROSECOND


def _pair(name: str, value: str) -> KeyValue:
    pair = KeyValue(key=name)
    pair.value.string_value = value
    return pair
