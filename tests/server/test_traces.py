"""Decisions as spans, at a receiver of OpenTelemetry's own messages, from every service."""

from __future__ import annotations

import signal
import socket
import sys
import time
from collections.abc import Iterator

import grpc
import pytest

from policyd.envoy.service.auth.v3 import authorization_pb2 as envoy
from policyd.json_types import Json
from policyd.server.services.envoy import API
from policyd.server.services.envoy import SERVICE as ENVOY
from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2
from tests.server.test_gateways import POLICY
from tests.support.daemon import PATIENCE, SERVICE, Caller, Site, access_token, resource
from tests.support.otlp import COLLECTOR, Receiver, Span, collecting, receiver
from tests.support.web import addresses, send

_SERVER = 2  # opentelemetry.proto.trace.v1.Span.SpanKind
ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"


def parent(number: int, flags: str = "01") -> str:
    """Return the `traceparent` of a caller's span."""
    return f"00-{number:032x}-{number:016x}-{flags}"


@pytest.fixture
def received(monkeypatch: pytest.MonkeyPatch) -> Iterator[Receiver]:
    with receiver() as running:
        monkeypatch.setenv(ENDPOINT, running.grpc)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
        yield running


@pytest.fixture
def orders(site: Site) -> Site:
    context = "context {\n    ip: ip?\n}\n\nresource orders {"
    site.policy.write_text(POLICY.replace("resource orders {", context))
    site.listen(
        'address = "127.0.0.1:0"\nservices = ["authorization", "explanation"]',
        'address = "127.0.0.1:0"\nservices = ["envoy"]',
        'address = "127.0.0.1:0"\nservices = ["connect", "authzen", "forward-auth"]',
        further='[authzen]\napi = "orders"\npolicy_decision_point = "https://pdp.example"\n',
    )
    return site


def asking(action: str = "list", type_: str = "orders") -> messages.CheckRequest:
    return messages.CheckRequest(
        access_token=access_token(), api="orders", action=action, resource=resource(type_)
    )


def call(caller: Caller, method: str, data: bytes, trace: str | None = None) -> bytes:
    asked: grpc.UnaryUnaryMultiCallable[bytes, bytes] = caller.channel.unary_unary(method)
    metadata = () if trace is None else (("traceparent", trace),)
    return asked(data, timeout=PATIENCE, metadata=metadata)


def check(caller: Caller, trace: str | None = None, action: str = "list") -> str:
    type_ = "orders" if action == "list" else "order"
    answer = call(caller, f"{SERVICE}/Check", asking(action, type_).SerializeToString(), trace)
    return messages.CheckResponse.FromString(answer).decision_id


def test_a_check_is_a_span_of_its_callers(orders: Site, received: Receiver) -> None:
    before = time.time()
    with orders.start() as daemon, Caller(daemon.addresses[0]) as caller:
        ids = [check(caller, parent(number)) for number in (1, 2)]
        denied = check(caller, parent(3), "cancel")
        first, second, third = received.wait_for_spans(3)
        assert daemon.log[0]["message"] != "there are no traces"
    assert (first.name, first.kind, first.failed) == ("check orders", _SERVER, False)
    assert (first.trace, first.parent) == (f"{1:032x}", f"{1:016x}")
    assert before <= first.begin <= time.time()
    assert 0 < first.seconds < PATIENCE
    assert first.attributes | {"policyd.revision": ""} == {
        "policyd.api": "orders",
        "policyd.action": "list",
        "policyd.resource.type": "orders",
        "policyd.effect": "allow",
        "policyd.reason": "ALLOWED",
        "policyd.rules": first.attributes["policyd.rules"],
        "policyd.revision": "",
        "policyd.decision_id": ids[0],
        "policyd.token.cached": False,
    }
    assert first.attributes["policyd.rules"]
    assert second.attributes["policyd.token.cached"] is True
    assert third.attributes["policyd.effect"] == "deny"
    assert third.attributes["policyd.decision_id"] == denied
    assert first.resource["service.name"] == "policyd"
    assert isinstance(first.resource["process.pid"], int)


def test_sampled_as_the_parent_says(orders: Site, received: Receiver) -> None:
    with orders.start() as daemon, Caller(daemon.addresses[0]) as caller:
        check(caller, parent(1, "00"))
        check(caller, parent(2))
        check(caller)
        check(caller, "no traceparent")
        spans = received.wait_for_spans(3)
    assert [span.trace for span in spans][:1] == [f"{2:032x}"]
    assert [span.parent for span in spans][1:] == ["", ""]
    assert len({span.trace for span in spans}) == 3


def test_the_variables_name_service_protocol_and_sampler(
    orders: Site, received: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(ENDPOINT, received.http)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/protobuf")
    monkeypatch.setenv("OTEL_SERVICE_NAME", "pdp")
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_off")
    with orders.start() as daemon, Caller(daemon.addresses[0]) as caller:
        check(caller)
    monkeypatch.setenv("OTEL_TRACES_SAMPLER", "always_on")
    with orders.start() as daemon, Caller(daemon.addresses[0]) as caller:
        check(caller, parent(7, "00"))
    (span,) = received.wait_for_spans(1)
    assert (span.trace, span.resource["service.name"]) == (f"{7:032x}", "pdp")


def test_a_batch_is_one_span_with_its_decisions(orders: Site, received: Receiver) -> None:
    batch = messages.BatchCheckRequest(access_token=access_token(), api="orders")
    for type_, action in (("orders", "list"), ("order", "cancel"), ("nothing", "read")):
        batch.items.add(action=action, resource=resource(type_))
    with orders.start() as daemon, Caller(daemon.addresses[0]) as caller:
        call(caller, f"{SERVICE}/BatchCheck", batch.SerializeToString(), parent(1))
        (span,) = received.wait_for_spans(1)
    assert (span.name, span.parent) == ("batch_check orders", f"{1:016x}")
    assert span.attributes["policyd.batch.decisions"] == 2  # a caller's mistake is no decision
    assert span.attributes["policyd.batch.allowed"] == 1
    told = [(event["policyd.action"], event["policyd.effect"]) for event in span.events]
    assert told == [("list", "allow"), ("cancel", "deny")]


def names(spans: list[Span]) -> dict[str, str]:
    return {span.parent.lstrip("0"): span.name for span in spans}


def test_every_service_has_spans(orders: Site, received: Receiver) -> None:
    with_token = {"Authorization": f"Bearer {access_token()}"}
    sound = envoy.CheckRequest()
    http = sound.attributes.request.http
    http.method, http.path, http.host, http.scheme = b"GET", b"/orders", b"api.example", b"https"
    http.headers["authorization"] = with_token["Authorization"].encode()
    sound.attributes.context_extensions[API] = b"orders"
    partial = messages.PartialCheckRequest(
        access_token=access_token(), api="orders", action="list", resource=resource("orders"),
        assumed_unknown=["context.ip"],
    )  # fmt: skip
    stream = messages.CheckStreamRequest(request=asking())
    explained = explanation_pb2.ExplainRequest(request=asking())
    question: Json = {
        "subject": {"type": "user", "id": "auth0|123456"},
        "action": {"name": "list"},
        "resource": {"type": "orders", "id": "1"},
    }
    body: Json = {
        "accessToken": access_token(),
        "api": "orders",
        "action": "list",
        "resource": {"type": "orders"},
    }
    with orders.start() as daemon:
        (web,) = addresses(daemon)
        with Caller(daemon.addresses[0]) as caller, Caller(daemon.addresses[1]) as gateway:
            check(caller, parent(1))
            call(
                caller, "/policyd.v1.ExplanationService/Explain",
                explained.SerializeToString(), parent(2),
            )  # fmt: skip
            call(caller, f"{SERVICE}/PartialCheck", partial.SerializeToString(), parent(3))
            call(gateway, f"/{ENVOY}/Check", sound.SerializeToString(), parent(4))
            streamed: grpc.StreamStreamMultiCallable[bytes, bytes]
            streamed = caller.channel.stream_stream(f"{SERVICE}/CheckStream")
            trace = (("traceparent", parent(5)),)
            list(streamed(iter([stream.SerializeToString()]), metadata=trace, timeout=PATIENCE))
        replies = [
            send(web, "POST", f"{SERVICE}/Check", body, traceparent=parent(6)),
            send(web, "POST", "/access/v1/evaluation", question, traceparent=parent(7),
                 **with_token),
            send(web, "GET", "/forward-auth/orders", traceparent=parent(8),
                 X_Forwarded_Method="GET", X_Forwarded_Uri="/orders", **with_token),
        ]  # fmt: skip
        assert [reply.status for reply in replies] == [200, 200, 200], replies
        spans = received.wait_for_spans(8)
    assert names(spans) == {
        **{str(number): "check orders" for number in (1, 2, 4, 5, 6, 7, 8)},
        "3": "partial_check orders",
    }


#: Runs the Python command line that follows, and writes down at its end what it has loaded.
NOTING = """\
import atexit, sys
from pathlib import Path
loaded = lambda: [m for m in sys.modules if m.partition(".")[0] == "opentelemetry"]
atexit.register(lambda: Path("loaded").write_text(repr(loaded())))
{before}
*_, flag, program = sys.argv[:4]
assert flag == "-c", sys.argv
sys.argv[:4] = ["policyd"]
exec(program)
"""


#: Lets a program find nothing of OpenTelemetry, as where the extra is not installed.
HIDING = """\
import importlib.util as util
find = util.find_spec
util.find_spec = lambda name, *p: None if name.startswith("opentelemetry") else find(name, *p)
"""


@pytest.mark.parametrize("variables", [{}, {ENDPOINT: "http://a", "OTEL_SDK_DISABLED": "true"}])
def test_without_the_variables_nothing_is_loaded(
    site: Site, variables: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with site.start(prefix=(sys.executable, "-c", NOTING.format(before=""))) as daemon:
        assert daemon.end() == 0
    assert (site.folder / "loaded").read_text() == "[]"


def test_without_the_extra_the_log_says_so(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    hidden = NOTING.format(before=HIDING)
    with site.start(prefix=(sys.executable, "-c", hidden)) as daemon:
        said = daemon.wait_for_log(
            "OTEL_… variables ask for traces: for these, install `policyd[otel]`"
        )
        assert said["level"] == "warning"
        assert daemon.end() == 0
    assert (site.folder / "loaded").read_text() == "[]"


def test_a_protocol_that_is_none_is_said(site: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(ENDPOINT, "http://127.0.0.1:1")
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", "http/json")
    with site.start() as daemon:
        said = daemon.wait_for_log("there are no traces")
    assert "`http/json`" in str(said["error"])


@pytest.mark.parametrize("protocol", ["grpc", "http/protobuf"])
def test_a_receiver_that_hangs_delays_no_answer_and_no_end(
    orders: Site, protocol: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        monkeypatch.setenv(ENDPOINT, f"http://127.0.0.1:{silent.getsockname()[1]}")
        monkeypatch.setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
        monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
        with orders.start() as daemon, Caller(daemon.addresses[0]) as caller:
            for _ in range(10):
                check(caller)
            daemon.signal(signal.SIGTERM)
            assert daemon.wait() == 0
    assert len(orders.records()) == 10


@pytest.mark.slow
@pytest.mark.skipif(COLLECTOR is None, reason="no collector: name one with POLICYD_COLLECTOR")
def test_a_real_collector_takes_the_spans(orders: Site, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OTEL_BSP_SCHEDULE_DELAY", "50")
    with collecting(orders.folder, "traces") as collector:
        monkeypatch.setenv(ENDPOINT, collector.grpc)
        with orders.start() as daemon, Caller(daemon.addresses[0]) as caller:
            check(caller, parent(0xABC))
            collector.wait_for("policyd.effect: Str(allow)")
    assert f"Trace ID       : {0xABC:032x}" in collector.said()
