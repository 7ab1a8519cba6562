"""What every guard does: which question a request is, and what a refusal becomes."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import replace

import pytest

from policyd.client import (
    AccessDenied,
    Answer,
    AnswerCache,
    AuthorizationFailed,
    Json,
    Proof,
    Question,
    Resource,
    exchange,
)
from policyd.client.enforcement import HttpGuard, Refusal, Seen, answer_headers, refusal
from policyd.v1 import authorization_pb2 as messages
from tests.unit.client.test_client import ANSWER

DENIED = replace(ANSWER, allowed=False, reason="NO_RULE_ALLOWS", message="no", http_status=403)
DOC = Resource("doc", "7", {"open": True})


def test_a_deny_is_told_as_the_daemon_says() -> None:
    answer = replace(
        DENIED, http_status=401, www_authenticate="Bearer", retry_after_seconds=3, dpop_nonce="n"
    )
    headers = {"DPoP-Nonce": "n", "WWW-Authenticate": "Bearer", "Retry-After": "3"}
    found = refusal(answer)
    assert found == Refusal(401, headers, "NO_RULE_ALLOWS", "no")
    assert found.body() == {"error": "NO_RULE_ALLOWS", "message": "no"}
    assert refusal(replace(DENIED, www_authenticate="", dpop_nonce="")).headers == {}


@pytest.mark.parametrize(
    ("status", "told"), [(0, 403), (200, 403), (302, 403), (399, 403), (400, 400), (503, 503)]
)
def test_a_deny_is_no_success_whatever_it_says_besides(status: int, told: int) -> None:
    assert refusal(replace(DENIED, http_status=status)).status == told


@pytest.mark.parametrize(
    ("code", "status"),
    [
        ("UNAVAILABLE", 503),
        ("DEADLINE_EXCEEDED", 503),
        ("RESOURCE_EXHAUSTED", 503),
        ("CANCELLED", 503),
        ("INVALID_ARGUMENT", 500),
        ("INTERNAL", 500),
        ("UNKNOWN", 500),
    ],
)
def test_no_answer_lets_nobody_in(code: str, status: int, caplog: pytest.LogCaptureFixture) -> None:
    found = refusal(AuthorizationFailed(code, "SECRET of the daemon"))
    headers = {"Retry-After": "5"} if status == 503 else {}
    said = "no decision could be made"
    assert found == Refusal(status, headers, "AUTHORIZATION_UNAVAILABLE", said)
    (record,) = caplog.records
    assert (record.levelno, "SECRET of the daemon" in record.message) == (logging.ERROR, True)


def test_an_allow_may_bring_a_nonce() -> None:
    assert answer_headers(replace(ANSWER, dpop_nonce="n")) == {"DPoP-Nonce": "n"}
    assert answer_headers(replace(ANSWER, dpop_nonce="")) == {}


def context_of(request: str) -> Mapping[str, Json]:
    return {"asked": request}


BEARER = Seen(("Bearer t",), (), "GET", "/a%20b")
BY_DPOP = Seen(("DPoP t",), ("p", "q"), "GET", "/a%20b")


def test_a_request_is_a_question(caplog: pytest.LogCaptureFixture) -> None:
    plain: HttpGuard[str, None] = HttpGuard(None)
    assert plain.question("r", BEARER, "read", DOC, "id-1") == Question(
        "t", "read", DOC, request_id="id-1"
    )
    whole: HttpGuard[str, None] = HttpGuard(
        None,
        api="docs",
        external_origin="https://api.example.com/",
        certificate=lambda request: f"thumb of {request}",
        context=context_of,
    )
    proof = Proof(("p", "q"), "GET", "https://api.example.com/a%20b", "thumb of r")
    assert whole.question("r", BY_DPOP, "read", DOC, "id-1") == Question(
        "t", "read", DOC, "docs", {"asked": "r"}, proof, "id-1"
    )
    assert whole.question("r", BEARER, "read", DOC, "").proof == replace(proof, dpop_proofs=())
    assert caplog.records == []


def test_a_proof_needs_to_know_where_the_service_is(caplog: pytest.LogCaptureFixture) -> None:
    guard: HttpGuard[str, None] = HttpGuard(None)
    found = guard.question("r", BY_DPOP, "read", DOC, "")
    assert found.proof == Proof(("p", "q"), "GET", "/a%20b", "")  # which no proof is for
    (record,) = caplog.records
    assert "give the guard `external_origin`" in record.message


def told(talk: exchange.Exchange[Answer], *replies: bytes) -> tuple[list[str], Answer]:
    """Return what was asked of the daemon, which gives these replies, and the answer."""
    asked: list[str] = []
    waiting = list(replies)
    try:
        request = next(talk)
        while True:
            asked.append(request.method)
            request = talk.send(waiting.pop(0))
    except StopIteration as end:
        answer = end.value
    assert isinstance(answer, Answer)
    return asked, answer


QUESTION = Question("t", "read", DOC, "docs", {"zone": "a"}, Proof(("p",), "GET", "u"), "id-1")
CHECK = "/policyd.v1.AuthorizationService/Check"


def reply(allowed: bool = True) -> bytes:
    message = messages.CheckResponse(allowed=allowed, reason="ALLOWED" if allowed else "DENIED")
    message.cacheable_until.seconds = 4_000_000_000
    return message.SerializeToString()


def test_an_answer_is_kept_for_the_same_question_alone() -> None:
    cache = AnswerCache(100, 1000)
    assert told(exchange.check(QUESTION, cache), reply())[0] == [CHECK]
    again = replace(QUESTION, request_id="id-2")
    assert told(exchange.check(again, cache))[0] == []
    others = [
        replace(QUESTION, access_token="u"),
        replace(QUESTION, action="write"),
        replace(QUESTION, resource=Resource("doc", "8", {"open": True})),
        replace(QUESTION, resource=Resource("doc", "7", {"open": False})),
        replace(QUESTION, resource=Resource("file", "7", {"open": True})),
        replace(QUESTION, api="other"),
        replace(QUESTION, context={"zone": "b"}),
        replace(QUESTION, proof=None),
        replace(QUESTION, proof=Proof(("p",), "PUT", "u")),
    ]
    for other in others:
        assert told(exchange.check(other, cache), reply(False))[0] == [CHECK]
    assert told(exchange.check(QUESTION, cache))[1].allowed
    cache.clear()
    assert told(exchange.check(QUESTION, cache), reply(False))[1].allowed is False
    assert told(exchange.check(QUESTION, None), reply())[0] == [CHECK]


def test_what_is_required_must_be_allowed() -> None:
    assert told(exchange.required(exchange.check(QUESTION, None)), reply())[1].allowed
    with pytest.raises(AccessDenied) as caught:
        told(exchange.required(exchange.check(QUESTION, None)), reply(False))
    assert caught.value.answer.allowed is False


def test_a_batch_is_answered_item_by_item() -> None:
    def batch(results: int) -> list[Answer | AuthorizationFailed]:
        talk = exchange.batch_check(
            "t", [("read", DOC)] * 2, api="", context={}, proof=None, request_id=""
        )
        next(talk)
        response = messages.BatchCheckResponse()
        for _ in range(results):
            response.results.add().response.allowed = True
        with pytest.raises(StopIteration) as end:
            talk.send(response.SerializeToString())
        found: list[Answer | AuthorizationFailed] = end.value.value
        return found

    assert [one.allowed for one in batch(2)] == [True, True]
    for results in (0, 1, 3):
        with pytest.raises(AuthorizationFailed, match="did not answer each item"):
            batch(results)


def test_answers_of_a_stream_come_in_order_or_end_it() -> None:
    def answer(name: str) -> bytes:
        response = messages.CheckResponse(allowed=True)
        return messages.CheckStreamResponse(id=name, response=response).SerializeToString()

    stream = exchange.Stream()
    names = [messages.CheckStreamRequest.FromString(stream.question(QUESTION)).id for _ in range(3)]
    assert len(set(names)) == 3
    assert stream.answer(answer(names[0])).allowed
    with pytest.raises(AuthorizationFailed, match="out of order"):
        stream.answer(answer(names[2]))
    with pytest.raises(AuthorizationFailed, match="before its last answer"):
        stream.end()
    assert stream.answer(answer(names[1])).allowed
    assert stream.answer(answer(names[2])).allowed
    stream.end()
    with pytest.raises(AuthorizationFailed, match="out of order"):
        stream.answer(answer(""))
