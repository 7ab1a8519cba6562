"""Check, BatchCheck and CheckStream of the real daemon: what is answered, what is an error."""

from __future__ import annotations

import time
from collections.abc import Iterator

import grpc
import pytest
from google.protobuf.struct_pb2 import Struct, Value

from policyd.v1 import authorization_pb2 as messages
from tests.support.daemon import (
    AUDIENCE,
    ISSUER,
    SERVICE,
    Caller,
    access_token,
    check_request,
    resource,
)

CHECK = f"{SERVICE}/Check"
BATCH = f"{SERVICE}/BatchCheck"
INVALID = grpc.StatusCode.INVALID_ARGUMENT


def test_allows_and_says_all_there_is_to_say(caller: Caller) -> None:
    before = int(time.time())
    answer = caller.check(check_request())
    assert answer.allowed
    assert answer.reason == "ALLOWED"
    assert list(answer.rules) == ["reads"]
    assert not answer.rules_truncated
    assert answer.http_status == 200
    assert answer.www_authenticate == ""
    assert answer.subject.expires_at.seconds > before
    answer.subject.ClearField("expires_at")
    assert answer.subject == messages.Subject(
        subject="auth0|123456",
        issuer=ISSUER,
        client="my_client_id",
        kind=messages.SUBJECT_KIND_USER,
        scopes=["openid", "profile", "read:admin", "read:patients"],
    )
    assert len(answer.policy_revision) == 16
    assert before < answer.cacheable_until.seconds <= int(time.time()) + 5


def test_denies_for_a_missing_scope_and_names_it(caller: Caller) -> None:
    token = access_token({"https://example.com/roles": ["clinician"]})
    answer = caller.check(check_request(token, action="update"))
    assert not answer.allowed
    assert answer.reason == "INSUFFICIENT_SCOPE"
    assert list(answer.missing_scopes) == ["write:patients"]
    assert answer.http_status == 403
    assert answer.www_authenticate == (
        'Bearer realm="health", error="insufficient_scope", scope="write:patients"'
    )


def test_denies_by_a_rule_and_names_it(caller: Caller) -> None:
    asked = check_request(resource=resource("patient", "p2", sealed=True))
    answer = caller.check(asked)
    assert (answer.allowed, list(answer.rules)) == (False, ["sealed"])
    assert answer.message == "a sealed record needs a recent multi-factor login"


def test_refuses_a_bad_token_with_an_ok_response(caller: Caller) -> None:
    answer = caller.check(check_request("not.a.token"))
    assert (answer.allowed, answer.reason, answer.http_status) == (False, "TOKEN_MALFORMED", 401)
    assert not answer.HasField("subject")
    assert not answer.HasField("cacheable_until")


def test_names_each_decision_once(caller: Caller) -> None:
    names = [caller.check(check_request()).decision_id for _ in range(20)]
    assert len(set(names)) == 20
    assert len({name.rpartition("-")[0] for name in names}) == 1


@pytest.mark.parametrize("api", ["health", AUDIENCE, ""])
def test_finds_the_api_by_name_by_audience_or_by_default(caller: Caller, api: str) -> None:
    assert caller.check(check_request(api=api)).allowed


def test_bytes_that_are_no_message_are_the_callers_mistake(caller: Caller) -> None:
    failed = caller.failure(CHECK, b"\xff\xff\xff")
    assert (failed.code, failed.domain, failed.reason) == (INVALID, "policyd", "MESSAGE_MALFORMED")
    assert failed.violations == {"": "not a policyd.v1.CheckRequest message"}


def test_an_empty_message_has_no_token(caller: Caller) -> None:
    assert caller.check(messages.CheckRequest()).reason == "TOKEN_MISSING"


@pytest.mark.parametrize(
    ("changes", "reason", "field", "suggestion"),
    [
        ({"api": "heath"}, "UNKNOWN_API", "api", None),
        ({"action": "reed"}, "UNKNOWN_ACTION", "action", "read"),
        (
            {"resource": resource("pateint", sealed=False)},
            "UNKNOWN_RESOURCE_TYPE",
            "resource.type",
            "patient",
        ),
        (
            {"resource": resource("patient")},
            "ATTRIBUTE_MISSING",
            "resource.properties.sealed",
            None,
        ),
        (
            {"resource": resource("patient", sealed="yes")},
            "ATTRIBUTE_INVALID",
            "resource.properties.sealed",
            None,
        ),
    ],
)
def test_a_question_that_cannot_be_asked_is_the_callers_mistake(
    caller: Caller, changes: dict[str, object], reason: str, field: str, suggestion: str | None
) -> None:
    failed = caller.failure(CHECK, check_request(**changes).SerializeToString())
    assert (failed.code, failed.domain, failed.reason) == (INVALID, "policyd", reason)
    assert list(failed.violations) == [field]
    assert failed.metadata.get("field") == field
    assert failed.metadata.get("suggestion") == suggestion
    if suggestion is not None:
        assert f"did you mean `{suggestion}`?" in failed.violations[field]


def test_a_misspelt_action_with_a_bad_token_is_a_refusal_without_suggestions(
    caller: Caller,
) -> None:
    answer = caller.check(check_request("bad.to.ken", action="reed"))
    assert answer.reason == "TOKEN_MALFORMED"
    assert "read" not in answer.message


@pytest.mark.parametrize(
    "value", [Value(), Value(number_value=float("nan")), Value(number_value=float("inf"))]
)
def test_a_value_that_json_does_not_have_is_the_callers_mistake(
    caller: Caller, value: Value
) -> None:
    asked = check_request()
    asked.context.CopyFrom(Struct(fields={"list": value}))
    failed = caller.failure(CHECK, asked.SerializeToString())
    assert (failed.code, failed.reason) == (INVALID, "VALUE_INVALID")
    assert list(failed.violations) == ["context.list"]


@pytest.mark.parametrize("name", ["x" * 50_000, "\n\r\0" * 1000, "☃" * 10_000])
def test_long_and_strange_names_make_no_long_errors(caller: Caller, name: str) -> None:
    asked = check_request()
    asked.context.CopyFrom(Struct(fields={name: Value()}))
    for request in (asked, check_request(api=name), check_request(action=name)):
        failed = caller.failure(CHECK, request.SerializeToString())
        assert failed.code is INVALID
        assert failed.domain == "policyd"
        assert len(failed.message) < 400


def test_a_message_past_the_limit_is_refused(caller: Caller) -> None:
    asked = check_request("x" * 200_000)
    failed = caller.failure(CHECK, asked.SerializeToString())
    assert failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED


def test_an_unknown_method_is_unimplemented(caller: Caller) -> None:
    failed = caller.failure(f"{SERVICE}/Chek", b"")
    assert failed.code is grpc.StatusCode.UNIMPLEMENTED


# BatchCheck


def item(name: str, action: str, what: messages.Resource) -> messages.BatchCheckItem:
    return messages.BatchCheckItem(id=name, action=action, resource=what)


def batch(*items: messages.BatchCheckItem, token: str | None = None) -> messages.BatchCheckRequest:
    return messages.BatchCheckRequest(
        access_token=access_token() if token is None else token, api="health", items=items
    )


def test_one_bad_item_of_a_batch_fails_no_other(caller: Caller) -> None:
    broken = resource("patient")
    broken.properties.fields["sealed"].SetInParent()
    response = caller.batch_check(
        batch(
            item("a", "read", resource("patient", "p1", sealed=False)),
            item("b", "reed", resource("patient", "p1", sealed=False)),
            item("c", "read", broken),
            item("d", "read", resource("patient", "p2", sealed=True)),
        )
    )
    assert [result.id for result in response.results] == ["a", "b", "c", "d"]
    first, second, third, fourth = response.results
    assert first.response.allowed
    assert second.WhichOneof("outcome") == third.WhichOneof("outcome") == "error"
    assert second.error.code == third.error.code == INVALID.value[0]
    assert "did you mean `read`?" in second.error.message
    assert third.error.message.startswith("resource.properties.sealed: ")
    assert (fourth.response.allowed, list(fourth.response.rules)) == (False, ["sealed"])
    assert first.response.decision_id != fourth.response.decision_id


def test_a_batch_answers_as_check_does(caller: Caller) -> None:
    asked = [resource("patient", f"p{n}", sealed=n % 2 == 0) for n in range(10)]
    token = access_token()
    response = caller.batch_check(batch(*(item("", "read", one) for one in asked), token=token))
    for one, result in zip(asked, response.results, strict=True):
        single = caller.check(check_request(token, resource=one))
        single.ClearField("decision_id")
        single.ClearField("cacheable_until")
        result.response.ClearField("decision_id")
        result.response.ClearField("cacheable_until")
        assert result.response == single


def test_a_bad_token_refuses_each_item_of_a_batch(caller: Caller) -> None:
    what = resource("patient", "p1", sealed=False)
    response = caller.batch_check(
        batch(item("", "read", what), item("", "reed", what), token="a.b.c")
    )
    assert [result.response.reason for result in response.results] == ["TOKEN_MALFORMED"] * 2


def test_a_batch_without_items_has_no_results(caller: Caller) -> None:
    assert not caller.batch_check(batch()).results


def test_a_batch_past_the_limit_is_refused(caller: Caller) -> None:
    what = resource("patient", "p1", sealed=False)
    asked = batch(*(item("", "read", what) for _ in range(51)))
    failed = caller.failure(BATCH, asked.SerializeToString())
    assert failed.code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert (failed.domain, failed.reason) == ("policyd", "BATCH_TOO_LARGE")


def test_an_unknown_api_fails_the_whole_batch(caller: Caller) -> None:
    asked = batch(item("", "read", resource("patient", "p1", sealed=False)))
    asked.api = "heath"
    failed = caller.failure(BATCH, asked.SerializeToString())
    assert (failed.code, failed.reason) == (INVALID, "UNKNOWN_API")


def test_bytes_that_are_no_batch_are_the_callers_mistake(caller: Caller) -> None:
    assert caller.failure(BATCH, b"\xff").reason == "MESSAGE_MALFORMED"


# CheckStream


def converse(
    caller: Caller, questions: Iterator[bytes] | list[bytes]
) -> Iterator[messages.CheckStreamResponse]:
    stream: grpc.StreamStreamMultiCallable[bytes, bytes]
    stream = caller.channel.stream_stream(f"{SERVICE}/CheckStream")
    for answer in stream(iter(questions), timeout=30):
        yield messages.CheckStreamResponse.FromString(answer)


def test_a_stream_answers_in_order_and_survives_a_bad_question(caller: Caller) -> None:
    broken = check_request()
    broken.context.CopyFrom(Struct(fields={"ip": Value()}))
    asked = [check_request(), check_request(action="reed"), broken, check_request("")]
    answers = list(
        converse(
            caller,
            [
                messages.CheckStreamRequest(id=str(n), request=one).SerializeToString()
                for n, one in enumerate(asked)
            ],
        )
    )
    assert [answer.id for answer in answers] == ["0", "1", "2", "3"]
    assert answers[0].response.allowed
    assert answers[1].error.message.startswith("request.action: ")
    assert answers[2].error.message.startswith("request.context.ip: ")
    assert answers[3].response.reason == "TOKEN_MISSING"


def test_bytes_that_are_no_message_end_a_stream(caller: Caller) -> None:
    with pytest.raises(grpc.RpcError) as caught:
        list(converse(caller, [b"\xff"]))
    assert caught.value.code() is INVALID
