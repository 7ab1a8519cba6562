"""Connect's unary protocol: what a method is given, and what its answer becomes."""

from __future__ import annotations

import json

import msgspec
import pytest

from policyd.pdp.calls import Call, CallFailed, Deferred, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.services.connect import ConnectService
from policyd.server.transport.interface import Exchange, Unary
from policyd.server.transport.web import Fields, WebRequest, WebResponse
from policyd.server.wire.failures import field_failure
from policyd.server.wire.json_messages import error_details
from policyd.v1 import authorization_pb2 as messages
from tests.support.deciding import settled

CHECK = "/policyd.v1.AuthorizationService/Check"
STREAM = "/policyd.v1.AuthorizationService/CheckStream"
JSON, PROTO = ("content-type", "application/json"), ("content-type", "application/proto")
ASKED = messages.CheckRequest(api="health", action="read")
SAID = messages.CheckResponse(allowed=True, reason="ALLOWED").SerializeToString()


class Method:
    """Answers as it is told to, and remembers what it was given."""

    def __init__(self, answer: bytes | Deferred[bytes] = SAID) -> None:
        self.answer = answer
        self.messages: list[bytes] = []
        self.calls: list[Call] = []

    def __call__(self, message: bytes, call: Call) -> bytes | Deferred[bytes]:
        self.messages.append(message)
        self.calls.append(call)
        return self.answer


def service(method: Method, values: int = 100, items: int = 10) -> ConnectService:
    return ConnectService({CHECK: Unary(method), STREAM: Exchange(method)}, values, items)


def posted(body: bytes, *fields: tuple[str, str]) -> WebRequest:
    return WebRequest("POST", CHECK, fields=fields, body=body, called_by="dns:shop.example")


def told(answer: WebResponse | Deferred[WebResponse]) -> WebResponse:
    found = settled(answer)
    assert isinstance(found, WebResponse)
    return found


def test_a_method_is_given_the_message_and_the_call_in_both_formats() -> None:
    bodies = ((JSON, b'{"api": "health", "action": "read"}'), (PROTO, ASKED.SerializeToString()))
    for kind, body in bodies:
        method = Method()
        request = posted(body, kind)
        answer = told(service(method).answer(request))
        assert method.messages == [ASKED.SerializeToString()]
        assert method.calls == [request]
        assert (answer.status, answer.content_type) == (200, kind[1])
        if kind == PROTO:
            assert answer.body == SAID
        else:
            assert json.loads(answer.body) == {"allowed": True, "reason": "ALLOWED"}


@pytest.mark.parametrize("kind", [JSON, PROTO])
def test_an_answer_that_comes_later_is_the_same(kind: tuple[str, str]) -> None:
    body = b"{}" if kind == JSON else b""
    deferred: Deferred[bytes] = Deferred(lambda deliver: deliver(SAID))
    first, later = (
        told(service(Method(answer)).answer(posted(body, kind))) for answer in (SAID, deferred)
    )
    assert (first.status, first.body) == (later.status, later.body)
    failed = CallFailed(StatusCode.UNAVAILABLE, "no policies")
    failing = Method(Deferred(lambda deliver: deliver(failed)))
    assert settled(service(failing).answer(posted(body, kind))) is failed


def test_only_unary_methods_have_a_path() -> None:
    method = Method()
    made = service(method)
    assert (made.has(CHECK), made.has(STREAM), made.has("/")) == (True, False, False)
    assert told(made.answer(WebRequest("POST", STREAM, fields=(JSON,), body=b"{}"))).status == 404
    assert method.messages == []


@pytest.mark.parametrize("verb", ["GET", "HEAD", "PUT", "post"])
def test_there_is_no_way_to_ask_but_post(verb: str) -> None:
    method = Method()
    answer = told(service(method).answer(WebRequest(verb, CHECK, fields=(JSON,), body=b"{}")))
    assert (answer.status, answer.headers, method.messages) == (405, (("Allow", "POST"),), [])


@pytest.mark.parametrize(
    ("fields", "status"),
    [
        ((), 415),
        ((("content-type", "text/plain"),), 415),
        ((("content-type", "application/connect+json"),), 415),
        ((("content-type", " Application/JSON ; charset=utf-8"),), 200),
    ],
)
def test_a_body_says_its_format(fields: Fields, status: int) -> None:
    answer = told(service(Method()).answer(posted(b"{}", *fields)))
    assert answer.status == status
    if status == 415:
        assert answer.headers == (("Accept-Post", "application/json, application/proto"),)


VERSION, ENCODING = "connect-protocol-version", "content-encoding"
TIMEOUT = "connect-timeout-ms"


@pytest.mark.parametrize(
    ("fields", "code", "said"),
    [
        ((JSON, JSON), "INVALID_ARGUMENT", "`content-type` stands more than once"),
        ((JSON, (VERSION, "2")), "INVALID_ARGUMENT", "`connect-protocol-version` must be 1"),
        ((JSON, (VERSION, "1"), (VERSION, "1")), "INVALID_ARGUMENT", "more than once"),
        ((JSON, (ENCODING, "gzip")), "UNIMPLEMENTED", "the only encoding is `identity`"),
        ((JSON, (TIMEOUT, "1" * 11)), "INVALID_ARGUMENT", "up to ten digits"),
        ((JSON, (TIMEOUT, "-1")), "INVALID_ARGUMENT", "up to ten digits"),
        ((JSON, (TIMEOUT, "")), "INVALID_ARGUMENT", "up to ten digits"),
        ((JSON, (TIMEOUT, "0")), "DEADLINE_EXCEEDED", "the caller's time is over"),
    ],
)
def test_header_fields_that_connect_does_not_allow(fields: Fields, code: str, said: str) -> None:
    method = Method()
    with pytest.raises(CallFailed, match=said) as caught:
        service(method).answer(posted(b"{}", *fields))
    assert (caught.value.code.name, method.messages) == (code, [])
    if code != "DEADLINE_EXCEEDED":
        debug = error_details(caught.value)[0]["debug"]
        assert debug == {"reason": "MESSAGE_MALFORMED", "domain": "policyd"}


def test_header_fields_that_connect_allows() -> None:
    method = Method()
    asked = posted(b"{}", JSON, (VERSION, "1"), (ENCODING, "identity"), (TIMEOUT, "1" * 10))
    assert told(service(method).answer(asked)).status == 200
    left = method.calls[0].time_remaining()
    assert left is not None
    assert 1_111_000 < left <= 1_111_111.111
    assert method.calls[0].caller() == "dns:shop.example"


def test_an_answer_after_the_callers_time_is_none() -> None:
    asked = msgspec.structs.replace(posted(b"{}", JSON), until=1.0)
    answer = told(service(Method()).answer(asked))
    assert (answer.status, json.loads(answer.body)) == (
        504,
        {"code": "deadline_exceeded", "message": "the caller's time is over"},
    )


def test_how_many_values_a_body_holds_is_bounded_by_the_values_and_the_items() -> None:
    """Each item has eight beside its values at most, and so has the message itself."""
    method = Method()
    made = service(method, values=20, items=2)
    for values, fits in ((42, True), (43, False)):
        body = json.dumps({"context": {"a": [0] * values}}).encode()
        if fits:
            assert told(made.answer(posted(body, JSON))).status == 200
        else:
            with pytest.raises(CallFailed, match="the body holds more than 44 values"):
                made.answer(posted(body, JSON))
    assert len(method.messages) == 1


@pytest.mark.parametrize(
    ("code", "name", "status"),
    [
        (StatusCode.INVALID_ARGUMENT, "invalid_argument", 400),
        (StatusCode.DEADLINE_EXCEEDED, "deadline_exceeded", 504),
        (StatusCode.NOT_FOUND, "not_found", 404),
        (StatusCode.PERMISSION_DENIED, "permission_denied", 403),
        (StatusCode.RESOURCE_EXHAUSTED, "resource_exhausted", 429),
        (StatusCode.UNIMPLEMENTED, "unimplemented", 501),
        (StatusCode.INTERNAL, "internal", 500),
        (StatusCode.UNAVAILABLE, "unavailable", 503),
        (StatusCode.UNAUTHENTICATED, "unauthenticated", 401),
    ],
)
def test_each_code_has_its_name_and_its_status(code: StatusCode, name: str, status: int) -> None:
    answer = service(Method()).failed(posted(b"", PROTO), CallFailed(code, "said"))
    assert (answer.status, answer.content_type) == (status, "application/json")
    assert json.loads(answer.body) == {"code": name, "message": "said"}
    assert answer.headers == ((("WWW-Authenticate", "Bearer"),) if status == 401 else ())


def test_each_code_can_be_told() -> None:
    for code in StatusCode:
        assert service(Method()).failed(posted(b""), CallFailed(code, "said")).status >= 400


def test_the_details_of_an_error_go_with_it() -> None:
    failed = field_failure("action", "it is absent", ErrorReason.VALUE_INVALID)
    body = json.loads(service(Method()).failed(posted(b"", JSON), failed).body)
    assert (body["code"], body["message"]) == ("invalid_argument", "action: it is absent")
    debug = {detail["type"]: detail["debug"] for detail in body["details"]}
    assert debug == {
        "google.rpc.ErrorInfo": {"reason": "VALUE_INVALID", "domain": "policyd"},
        "google.rpc.BadRequest": {
            "fieldViolations": [{"field": "action", "description": "it is absent"}]
        },
    }
