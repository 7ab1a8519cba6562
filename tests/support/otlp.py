"""A receiver of OTLP over gRPC and HTTP: OpenTelemetry's own messages, on real sockets."""

from __future__ import annotations

import gzip
import json
import os
import shutil
import subprocess
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import grpc
import msgspec
from opentelemetry.proto.collector.logs.v1 import logs_service_pb2 as logs
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2 as traces
from opentelemetry.proto.common.v1.common_pb2 import AnyValue, KeyValue

from policyd.json_types import Json
from tests.support.daemon import PATIENCE
from tests.support.ports import free_port

TRACES, LOGS = (
    "/opentelemetry.proto.collector.trace.v1.TraceService/Export",
    "/opentelemetry.proto.collector.logs.v1.LogsService/Export",
)


class Span(msgspec.Struct, frozen=True):
    """A span as it came, with its resource."""

    name: str
    kind: int
    trace: str
    parent: str
    seconds: float
    begin: float
    failed: bool
    attributes: dict[str, Json]
    events: list[dict[str, Json]]
    resource: dict[str, Json]


class Log(msgspec.Struct, frozen=True):
    """A log record as it came, with its resource."""

    time: float
    event: str
    severity: int
    trace: str
    body: Json
    attributes: dict[str, Json]
    resource: dict[str, Json]


class Receiver:
    """Keeps what comes. `refusing` says with which status of gRPC's or HTTP's the next export is
    refused, `refusing_logs` by what is in it; nothing is refused where they return nothing."""

    def __init__(self) -> None:
        self.spans: list[Span] = []
        self.logs: list[Log] = []
        self.exports = 0
        self.refusing: Callable[[], int | None] = lambda: None
        self.refusing_logs: Callable[[list[Log]], int | None] = lambda _: None
        self.grpc = self.http = ""
        self._news = threading.Condition()

    def wait(self, holds: Callable[[Receiver], bool]) -> None:
        """Wait until what has come is as wanted."""
        with self._news:
            assert self._news.wait_for(lambda: holds(self), PATIENCE), (self.spans, self.logs)

    def wait_for_spans(self, number: int) -> list[Span]:
        """Return the spans once there are so many."""
        self.wait(lambda it: len(it.spans) >= number)
        return list(self.spans)

    def take(self, path: str, data: bytes) -> int | None:
        """Take an export; return a status where it is refused."""
        with self._news:
            self.exports += 1
            status = self.refusing()
            if status is None:
                if "race" in path:
                    self.spans += _spans(traces.ExportTraceServiceRequest.FromString(data))
                else:
                    found = list(_logs(logs.ExportLogsServiceRequest.FromString(data)))
                    status = self.refusing_logs(found)
                    self.logs += found if status is None else []
            self._news.notify_all()
        return status


@contextmanager
def receiver() -> Iterator[Receiver]:
    """Run a receiver; `grpc` and `http` are its endpoints, as the variables spell them."""
    made = Receiver()

    def export(path: str) -> Callable[[bytes, grpc.ServicerContext], bytes]:
        def exported(data: bytes, context: grpc.ServicerContext) -> bytes:
            status = made.take(path, data)
            if status is not None:
                codes = {code.value[0]: code for code in grpc.StatusCode}
                context.abort(codes[status], "refused by the test")
            return b""  # a response without anything in it

        return exported

    class Methods(grpc.GenericRpcHandler):
        def service(
            self, details: grpc.HandlerCallDetails
        ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
            if details.method not in (TRACES, LOGS):
                return None
            return grpc.unary_unary_rpc_method_handler(export(details.method))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["Content-Length"]))
            if self.headers.get("Content-Encoding") == "gzip":
                data = gzip.decompress(data)
            status = made.take(self.path, data)
            self.send_response(status or 200)
            self.send_header("Content-Type", "application/x-protobuf")
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: object) -> None:
            pass

    server = grpc.server(ThreadPoolExecutor(4))
    server.add_generic_rpc_handlers((Methods(),))
    made.grpc = f"http://127.0.0.1:{server.add_insecure_port('127.0.0.1:0')}"
    server.start()
    web = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made.http = f"http://127.0.0.1:{web.server_port}"
    thread = threading.Thread(target=web.serve_forever)
    thread.start()
    try:
        yield made
    finally:
        web.shutdown()
        thread.join()
        web.server_close()
        server.stop(0).wait()


#: The program of a real collector.
COLLECTOR = os.environ.get("POLICYD_COLLECTOR") or shutil.which("otelcol")


class RealCollector:
    """A collector that writes down what it gets; `grpc` and `http` are its endpoints."""

    def __init__(self, said: Path, ports: tuple[int, int]) -> None:
        self._said = said
        self.grpc, self.http = (f"http://127.0.0.1:{port}" for port in ports)

    def said(self) -> str:
        """Return what it has written."""
        return self._said.read_text(encoding="utf-8")

    def wait_for(self, text: str) -> None:
        """Wait until it has written that."""
        limit = time.monotonic() + PATIENCE
        while text not in self.said():
            assert time.monotonic() < limit, self.said()
            time.sleep(0.05)


@contextmanager
def collecting(folder: Path, signal: str) -> Iterator[RealCollector]:
    """Run a real collector of `traces` or `logs`."""
    assert COLLECTOR is not None
    ports = free_port(), free_port()
    settings = {
        "receivers": {
            "otlp": {
                "protocols": {
                    name: {"endpoint": f"127.0.0.1:{port}"}
                    for name, port in zip(("grpc", "http"), ports, strict=True)
                }
            }
        },
        "exporters": {"debug": {"verbosity": "detailed"}},
        "service": {
            "telemetry": {"metrics": {"level": "none"}},
            "pipelines": {signal: {"receivers": ["otlp"], "exporters": ["debug"]}},
        },
    }
    (folder / "collector.yaml").write_text(json.dumps(settings), encoding="utf-8")
    made = RealCollector(folder / "collected", ports)
    with (
        (folder / "collected").open("w") as said,
        subprocess.Popen([COLLECTOR, "--config", folder / "collector.yaml"], stderr=said) as one,
    ):
        try:
            made.wait_for("Everything is ready")
            yield made
        finally:
            one.terminate()


def _value(value: AnyValue) -> Json:
    kind = value.WhichOneof("value")
    if kind is None:
        return None
    if kind == "array_value":
        return [_value(one) for one in value.array_value.values]
    if kind == "kvlist_value":
        return _pairs(value.kvlist_value.values)
    found: Json = getattr(value, kind)
    return found


def _pairs(pairs: Iterable[KeyValue]) -> dict[str, Json]:
    return {pair.key: _value(pair.value) for pair in pairs}


def _spans(request: traces.ExportTraceServiceRequest) -> Iterator[Span]:
    for resource in request.resource_spans:
        for scope in resource.scope_spans:
            for span in scope.spans:
                yield Span(
                    span.name,
                    span.kind,
                    span.trace_id.hex(),
                    span.parent_span_id.hex(),
                    (span.end_time_unix_nano - span.start_time_unix_nano) / 1e9,
                    span.start_time_unix_nano / 1e9,
                    span.status.code == 2,
                    _pairs(span.attributes),
                    [{"name": one.name, **_pairs(one.attributes)} for one in span.events],
                    _pairs(resource.resource.attributes),
                )


def _logs(request: logs.ExportLogsServiceRequest) -> Iterator[Log]:
    for resource in request.resource_logs:
        for scope in resource.scope_logs:
            for record in scope.log_records:
                yield Log(
                    record.time_unix_nano / 1e9,
                    record.event_name,
                    record.severity_number,
                    record.trace_id.hex(),
                    _value(record.body),
                    _pairs(record.attributes),
                    _pairs(resource.resource.attributes),
                )
