"""Bodies in JSON, and messages of the contract in it."""

from __future__ import annotations

import base64
import json

import pytest
from google.protobuf import json_format
from google.rpc.error_details_pb2 import BadRequest

from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.wire.failures import failure, field_failure
from policyd.server.wire.json_body import read_body
from policyd.server.wire.json_messages import error_details, request_bytes, response_json
from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2

CHECK = "/policyd.v1.AuthorizationService/Check"
BATCH = "/policyd.v1.AuthorizationService/BatchCheck"
EXPLAIN = "/policyd.v1.ExplanationService/Explain"


def mistake(body: bytes, most: int = 100) -> CallFailed:
    with pytest.raises(CallFailed) as caught:
        read_body(body, most)
    return caught.value


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b"", "it is empty"),
        (b"[]", "not a JSON object"),
        (b'{"a": 1, "a": 1}', "the member 'a' twice"),
        (b'{"a": "\\ud800"}', "half of a surrogate"),
        (b'{"a": NaN}', "is not JSON"),
        (b'{"a": "\xff"}', "not UTF-8"),
        (b'{"a":' * 40 + b"1" + b"}" * 40, "nested"),
    ],
)
def test_a_body_that_is_no_object_is_the_callers_mistake(body: bytes, said: str) -> None:
    failed = mistake(body)
    assert failed.code is StatusCode.INVALID_ARGUMENT
    assert said in failed.message
    info, bad = error_details(failed)
    assert info["debug"] == {"reason": "MESSAGE_MALFORMED", "domain": "policyd"}
    assert bad["debug"] == {"fieldViolations": [{"description": failed.message}]}


@pytest.mark.parametrize(
    ("body", "number"),
    [
        (b'{"a": [1, 2, 3]}', 4),
        (b'{"a": {"b": 1}, "c": [[]]}', 5),
        (b'{"a": ",[{,[{\\",,,", "b": 1}', 2),  # what stands in texts is no value
    ],
)
def test_values_are_counted_before_they_are_made(body: bytes, number: int) -> None:
    assert read_body(body, number) == json.loads(body)
    failed = mistake(body, number - 1)
    assert failed.code is StatusCode.RESOURCE_EXHAUSTED
    assert failed.message == f"the body holds more than {number - 1} values"
    assert error_details(failed)[0]["debug"] == {"reason": "TOO_MANY_VALUES", "domain": "policyd"}


def test_each_method_has_its_messages() -> None:
    check = messages.CheckRequest(api="a", access_token="t")
    check.resource.properties.update({"n": [1, {"deep": None}]})
    check.context.update({"zone": "inside"})
    spelled: dict[str, Json] = {
        "api": "a",
        "accessToken": "t",
        "resource": {"properties": {"n": [1, {"deep": None}]}},
        "context": {"zone": "inside"},
        "unheardOf": {"a": [1]},
    }
    assert messages.CheckRequest.FromString(request_bytes(CHECK, spelled)) == check
    batch = messages.BatchCheckRequest(items=[messages.BatchCheckItem(id="i")])
    read = request_bytes(BATCH, {"items": [{"id": "i"}]})
    assert messages.BatchCheckRequest.FromString(read) == batch
    explain = explanation_pb2.ExplainRequest(request=check)
    read = request_bytes(EXPLAIN, {"request": spelled})
    assert explanation_pb2.ExplainRequest.FromString(read) == explain
    answers = {
        CHECK: messages.CheckResponse(reason="ALLOWED"),
        BATCH: messages.BatchCheckResponse(results=[messages.BatchCheckResult(id="i")]),
        EXPLAIN: explanation_pb2.ExplainResponse(detail="d"),
    }
    written = {
        method: json.loads(response_json(method, answer.SerializeToString()))
        for method, answer in answers.items()
    }
    assert written == {
        CHECK: {"reason": "ALLOWED"},
        BATCH: {"results": [{"id": "i"}]},
        EXPLAIN: {"detail": "d"},
    }


@pytest.mark.parametrize(
    ("method", "value", "said"),
    [
        (CHECK, {"api": 1}, "not a policyd.v1.CheckRequest in JSON: "),
        (CHECK, {"resource": []}, "`Resource` is an object"),
        (CHECK, {"resource": [{}]}, "`Resource` is an object"),
        (CHECK, {"resource": "type"}, "`Resource` is an object"),
        (CHECK, {"resource": {"properties": ["a"]}}, "`Struct` is an object"),
        (CHECK, {"context": "a"}, "`Struct` is an object"),
        (CHECK, {"proof": {"dpopProofs": "a"}}, "not a policyd.v1.CheckRequest"),
        (BATCH, {"items": {}}, "`items` is a list"),
        (BATCH, {"items": {"id": "a"}}, "`items` is a list"),
        (BATCH, {"items": "abc"}, "`items` is a list"),
        (BATCH, {"items": [[]]}, "`BatchCheckItem` is an object"),
        (BATCH, {"items": [{"resource": 1}]}, "`Resource` is an object"),
        (BATCH, {"items": [{}, {"resource": []}]}, "`Resource` is an object"),
        (EXPLAIN, {"request": {"resource": 1}}, "`Resource` is an object"),
        (CHECK, {"accessToken": "a", "access_token": "b"}, "`access_token` stands there in both"),
        (EXPLAIN, {"request": {"requestId": "", "request_id": ""}}, "in both spellings"),
    ],
)
def test_what_is_no_message_is_the_callers_mistake(
    method: str, value: dict[str, Json], said: str
) -> None:
    with pytest.raises(CallFailed) as caught:
        request_bytes(method, value)
    failed = caught.value
    assert failed.code is StatusCode.INVALID_ARGUMENT
    assert said in failed.message
    assert failed.message.count("\n") == 0
    info, bad = error_details(failed)
    assert info["debug"] == {"reason": "MESSAGE_MALFORMED", "domain": "policyd"}
    assert bad["debug"] == {"fieldViolations": [{"description": failed.message}]}


def test_properties_may_have_any_names() -> None:
    values: dict[str, Json] = {"fields": 1, "structValue": [], "list_value": "a", "values": {}}
    data = request_bytes(CHECK, {"resource": {"properties": values}, "context": values})
    message = messages.CheckRequest.FromString(data)
    for struct in (message.resource.properties, message.context):
        assert json_format.MessageToDict(struct) == values


def test_an_answer_is_one_line() -> None:
    data = messages.CheckResponse(reason="ALLOWED", allowed=True).SerializeToString()
    assert b"\n" not in response_json(CHECK, data)


def test_absent_messages_may_be_null() -> None:
    data = request_bytes(CHECK, {"resource": None, "context": None, "proof": None, "api": "a"})
    assert messages.CheckRequest.FromString(data) == messages.CheckRequest(api="a")


def test_what_is_said_of_a_mistake_is_short() -> None:
    with pytest.raises(CallFailed) as caught:
        request_bytes(CHECK, {"api": ["x" * 10_000]})
    assert len(caught.value.message) < 400


def test_details_are_bytes_and_for_people_json() -> None:
    failed = field_failure("action", "absent", ErrorReason.VALUE_INVALID)
    info, bad = error_details(failed)
    assert (info["type"], bad["type"]) == ("google.rpc.ErrorInfo", "google.rpc.BadRequest")
    value = bad["value"]
    assert isinstance(value, str)
    assert not value.endswith("=")
    read = BadRequest.FromString(base64.b64decode(value + "=" * (-len(value) % 4)))
    assert read.field_violations[0].field == "action"
    assert error_details(CallFailed(StatusCode.INTERNAL, "no")) == []
    assert len(error_details(failure(StatusCode.NOT_FOUND, "R", "m"))) == 1
