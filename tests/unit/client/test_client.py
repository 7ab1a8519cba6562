"""The client over a real socket, against answers that the tests make up."""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime

import grpc
import pytest
from google.rpc.status_pb2 import Status

from policyd.client import (
    AccessDenied,
    Answer,
    AuthorizationFailed,
    Client,
    Proof,
    Question,
    Resource,
    Subject,
    thumbprint,
)
from policyd.config.limits import Limits
from policyd.pdp.calls import Call, CallFailed, StatusCode
from policyd.server.services.health import Health
from policyd.server.transport.interface import Methods, Unary
from policyd.server.transport.standard import StandardTransport
from policyd.server.wire import convert
from policyd.server.wire.failures import failure
from policyd.tokens.model import NO_PROOF, SenderProof
from policyd.v1 import authorization_pb2 as messages

CHECK = "/policyd.v1.AuthorizationService/Check"
BATCH = "/policyd.v1.AuthorizationService/BatchCheck"
PATIENT = Resource("patient", "p1", {"sealed": False, "wards": ["a", "b"]})


@contextmanager
def client(methods: Methods) -> Iterator[Client]:
    surplus = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "")
    transport = StandardTransport(methods, Limits(), surplus)
    target = transport.bind("127.0.0.1:0")
    transport.start()
    try:
        with Client(target) as made:
            yield made
    finally:
        transport.stop(grace=0)


def response() -> messages.CheckResponse:
    made = messages.CheckResponse(
        allowed=True,
        reason="ALLOWED",
        rules=["reads"],
        http_status=200,
        subject=messages.Subject(subject="s", issuer="i", kind=messages.SUBJECT_KIND_APPLICATION),
        decision_id="d-1",
        policy_revision="r1",
        dpop_nonce="n-1",
        search_stopped=True,
        unknown_facts=["token.acr"],
    )
    made.cacheable_until.seconds = 1_800_000_000
    return made


ANSWER = Answer(
    allowed=True,
    reason="ALLOWED",
    message="",
    rules=("reads",),
    rules_truncated=False,
    missing_scopes=(),
    http_status=200,
    www_authenticate="",
    retry_after_seconds=0,
    dpop_nonce="n-1",
    subject=Subject("s", "i", "", "application"),
    decision_id="d-1",
    policy_revision="r1",
    cacheable_until=datetime.fromtimestamp(1_800_000_000, UTC),
    search_stopped=True,
    unknown_facts=("token.acr",),
)


def test_asks_what_it_is_told_and_returns_what_it_hears() -> None:
    asked: list[messages.CheckRequest] = []

    def check(data: bytes, _call: Call) -> bytes:
        asked.append(messages.CheckRequest.FromString(data))
        return response().SerializeToString()

    with client({CHECK: Unary(check)}) as made:
        answer = made.check(
            "token",
            api="health",
            action="read",
            resource=PATIENT,
            context={"ip": "192.0.2.1"},
            request_id="r-1",
        )
    assert answer == ANSWER
    question = convert.check_request(asked[0].SerializeToString())
    assert question.request_id == "r-1"
    assert question.attributes == PATIENT.properties
    assert question.context == {"ip": "192.0.2.1"}
    assert (question.access_token, question.action) == ("token", "read")


def test_an_empty_answer_denies() -> None:
    with client({CHECK: Unary(lambda _data, _call: b"")}) as made:
        answer = made.check("", action="read", resource=PATIENT)
    assert (answer.allowed, answer.subject, answer.cacheable_until) == (False, None, None)


def test_an_answer_that_is_no_message_is_a_failure() -> None:
    with (
        client({CHECK: Unary(lambda _data, _call: b"\xff")}) as made,
        pytest.raises(AuthorizationFailed, match="no message of policyd"),
    ):
        made.check("", action="read", resource=PATIENT)


@pytest.mark.parametrize(
    ("failed", "code", "reason"),
    [
        (
            failure(StatusCode.UNAVAILABLE, "POLICY_NOT_LOADED", "not yet"),
            "UNAVAILABLE",
            "POLICY_NOT_LOADED",
        ),
        (CallFailed(StatusCode.NOT_FOUND, "not yet"), "NOT_FOUND", ""),
        (CallFailed(StatusCode.NOT_FOUND, "not yet", b"\xff"), "NOT_FOUND", ""),
        (
            CallFailed(StatusCode.NOT_FOUND, "not yet", Status(code=5).SerializeToString()),
            "NOT_FOUND",
            "",
        ),
    ],
)
def test_an_error_is_a_failure_with_its_reason(failed: CallFailed, code: str, reason: str) -> None:
    def fail(_data: bytes, _call: Call) -> bytes:
        raise failed

    with client({CHECK: Unary(fail)}) as made, pytest.raises(AuthorizationFailed) as caught:
        made.check("", action="read", resource=PATIENT)
    assert (caught.value.code, caught.value.message, caught.value.reason) == (
        code,
        "not yet",
        reason,
    )


def test_each_item_of_a_batch_has_an_answer_or_a_failure() -> None:
    mistake = failure(StatusCode.INVALID_ARGUMENT, "UNKNOWN_ACTION", "no")

    contexts: list[object] = []

    def batch(data: bytes, _call: Call) -> bytes:
        request = messages.BatchCheckRequest.FromString(data)
        contexts.append(dict(request.context.items()))
        made = messages.BatchCheckResponse()
        for item in request.items:
            result = made.results.add()
            if item.action == "read":
                result.response.CopyFrom(response())
            else:
                result.error.ParseFromString(mistake.details)
        return made.SerializeToString()

    with client({BATCH: Unary(batch)}) as made:
        first, second = made.batch_check(
            "t", [("read", PATIENT), ("reed", PATIENT)], context={"ip": "192.0.2.1"}
        )
        made.batch_check("t", [])
    assert contexts == [{"ip": "192.0.2.1"}, {}]
    assert first == ANSWER
    assert isinstance(second, AuthorizationFailed)
    assert (second.code, second.reason) == ("INVALID_ARGUMENT", "UNKNOWN_ACTION")


def test_waits_until_the_daemon_serves() -> None:
    health = Health(())
    with client(health.methods()) as made:
        with pytest.raises(AuthorizationFailed, match="DEADLINE_EXCEEDED"):
            made.wait_until_serving(timeout=0.1)
        health.become(serving=True)
        made.wait_until_serving(timeout=30)


def test_a_watch_that_ends_is_no_daemon_that_serves() -> None:
    watch: grpc.RpcMethodHandler[bytes, bytes]
    watch = grpc.unary_stream_rpc_method_handler(lambda _request, _context: iter([b""]))
    with (
        plain_server("grpc.health.v1.Health", {"Watch": watch}) as made,
        pytest.raises(AuthorizationFailed) as caught,
    ):
        made.wait_until_serving(timeout=30)
    assert caught.value.code == "UNAVAILABLE"


def test_a_stream_that_ends_before_its_last_answer_is_a_failure() -> None:
    def once(requests: Iterator[bytes], _context: object) -> Iterator[bytes]:
        asked = [messages.CheckStreamRequest.FromString(each) for each in requests]
        answer = messages.CheckStreamResponse(id=asked[0].id, response=response())
        yield answer.SerializeToString()

    stream: grpc.RpcMethodHandler[bytes, bytes]
    stream = grpc.stream_stream_rpc_method_handler(once)
    question = Question("t", "read", PATIENT)
    with plain_server("policyd.v1.AuthorizationService", {"CheckStream": stream}) as made:
        assert list(made.check_stream([question], timeout=30)) == [ANSWER]
        answers = made.check_stream([question, question], timeout=30)
        assert next(answers) == ANSWER
        with pytest.raises(AuthorizationFailed, match="before its last answer"):
            next(answers)


@contextmanager
def plain_server(
    service: str, handlers: dict[str, grpc.RpcMethodHandler[bytes, bytes]]
) -> Iterator[Client]:
    """Return a client of a server that is not policyd's."""
    server = grpc.server(ThreadPoolExecutor(1))
    server.add_registered_method_handlers(service, handlers)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    with Client(f"127.0.0.1:{port}") as made:
        yield made
    server.stop(None).wait()


def ask(channel: grpc.Channel) -> None:
    method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = channel.unary_unary(CHECK)
    method(b"")


def test_a_client_that_was_closed_opens_another_connection() -> None:
    with client({CHECK: Unary(lambda _data, _call: b"")}) as made:
        with made:
            channel = made._channel()
            ask(channel)
        with pytest.raises(ValueError, match="closed"):
            ask(channel)
        assert not made.check("", action="read", resource=PATIENT).allowed
        assert made._channel() is made._channel()
        made.close()
        made.close()


def test_a_process_has_a_connection_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a fork inherits is its parent's, and not to be closed by it."""
    with client({CHECK: Unary(lambda _data, _call: b"")}) as made:
        made.check("", action="read", resource=PATIENT)
        inherited = made._channel()
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            made.close()
        ask(inherited)
        made.check("", action="read", resource=PATIENT)
        parents = made._channel()
        with monkeypatch.context() as child:
            child.setattr(os, "getpid", lambda: -1)
            assert made._channel() is not parents
            made.close()
        parents.close()
        inherited.close()


def test_a_denial_says_why() -> None:
    denied = dataclasses.replace(ANSWER, allowed=False, reason="DENIED_BY_RULE", message="no")
    assert str(AccessDenied(denied)) == "DENIED_BY_RULE: no"
    told = {field.name: field.default for field in dataclasses.fields(Answer)}
    assert told["search_stopped"] is False


def test_a_daemon_that_cannot_be_reached_is_a_failure() -> None:
    with Client("unix:/nowhere/at/all", timeout=1) as made:
        with pytest.raises(AuthorizationFailed):
            made.check("", action="read", resource=PATIENT)
        with pytest.raises(AuthorizationFailed) as caught:
            made.wait_until_serving(timeout=0.1)
    # It may start yet, so it is waited for.
    assert caught.value.code == "DEADLINE_EXCEEDED"


PROOF = Proof(("a.b.c", "d.e.f"), "POST", "https://api.example.com/x", "thumbprint")


def test_passes_on_what_came_with_a_token() -> None:
    asked: list[SenderProof] = []

    def check(data: bytes, _call: Call) -> bytes:
        asked.append(convert.check_request(data).proof)
        return b""

    def batch(data: bytes, _call: Call) -> bytes:
        asked.append(convert.batch_check_request(data).request.proof)
        empty = messages.BatchCheckResponse(results=[messages.BatchCheckResult()])
        return empty.SerializeToString()

    with client({CHECK: Unary(check), BATCH: Unary(batch)}) as made:
        for proof in (PROOF, None):
            made.check("", action="read", resource=PATIENT, proof=proof, request_id="r-1")
            made.batch_check("", [("read", PATIENT)], proof=proof, request_id="r-1")
    given = SenderProof(
        PROOF.dpop_proofs,
        PROOF.http_method,
        PROOF.http_uri,
        PROOF.client_certificate_sha256,
        "request r-1",
    )
    assert asked[:2] == [given, given]
    assert asked[2] is asked[3] is NO_PROOF


def test_the_thumbprint_of_a_certificate() -> None:
    """That of RFC 8705, appendix A."""
    pem = (
        "-----BEGIN CERTIFICATE-----\n"
        "MIIBBjCBrAIBAjAKBggqhkjOPQQDAjAPMQ0wCwYDVQQDDARtdGxzMB4XDTE4MTAx\n"
        "ODEyMzcwOVoXDTIyMDUwMjEyMzcwOVowDzENMAsGA1UEAwwEbXRsczBZMBMGByqG\n"
        "SM49AgEGCCqGSM49AwEHA0IABNcnyxwqV6hY8QnhxxzFQ03C7HKW9OylMbnQZjjJ\n"
        "/Au08/coZwxS7LfA4vOLS9WuneIXhbGGWvsDSb0tH6IxLm8wCgYIKoZIzj0EAwID\n"
        "SQAwRgIhAP0RC1E+vwJD/D1AGHGzuri+hlV/PpQEKTWUVeORWz83AiEA5x2eXZOV\n"
        "bUlJSGQgjwD5vaUaKlLR50Q2DmFfQj1L+SY=\n"
        "-----END CERTIFICATE-----\n"
    )
    expected = "A4DtL2JmUMhAsvJj5tKyn64SqzmuXbMrJa0n761y5v0"
    assert thumbprint(pem) == thumbprint(f"the sender's:\n{pem}the issuer's:\n{pem}") == expected
    for nothing in ("", "-----BEGIN CERTIFICATE-----\n"):
        with pytest.raises(ValueError, match="no certificate"):
            thumbprint(nothing)
