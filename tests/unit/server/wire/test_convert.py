"""Protobuf to the model and back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

import msgspec
import pytest
from google.protobuf.struct_pb2 import ListValue, Struct, Value
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import given
from hypothesis import strategies as st

from policyd.decision.model import Decision, Request
from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.reasons import Reason
from policyd.server.wire import convert, convert_response
from policyd.tokens.model import NO_PROOF, SenderProof, new_memo
from policyd.v1 import authorization_pb2 as messages
from tests.support.audit import verified_token

#: Text that protobuf can carry: no lone surrogates.
TEXT = st.text(st.characters(exclude_categories=["Cs"]))
JSON: st.SearchStrategy[Json] = st.recursive(
    st.none() | st.booleans() | st.floats(allow_nan=False, allow_infinity=False) | TEXT,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=10,
)
OBJECTS = st.dictionaries(TEXT, JSON, max_size=4)


def struct(values: Mapping[str, Json]) -> Struct:
    made = Struct()
    made.update(values)
    return made


@given(TEXT, TEXT, TEXT, TEXT, OBJECTS, OBJECTS, TEXT)
def test_a_question_comes_out_as_it_went_in(
    token: str,
    api: str,
    action: str,
    name: str,
    attributes: dict[str, Json],
    context: dict[str, Json],
    request_id: str,
) -> None:
    message = messages.CheckRequest(
        access_token=token,
        api=api,
        action=action,
        resource=messages.Resource(type=name, id=name, properties=struct(attributes)),
        context=struct(context),
        request_id=request_id,
    )
    expected = Request(token, api, action, name, name, attributes, context, request_id=request_id)
    assert convert.check_request(message.SerializeToString()) == expected
    streamed = messages.CheckStreamRequest(id=name, request=message)
    read = convert.check_stream_request(streamed.SerializeToString())
    assert (read.id, read.request) == (name, expected)


@given(st.binary())
def test_bytes_are_a_question_or_the_callers_mistake(data: bytes) -> None:
    for read in (
        convert.check_request,
        convert.batch_check_request,
        convert.check_stream_request,
    ):
        failure: CallFailed | None = None
        try:
            read(data)
        except CallFailed as failed:
            failure = failed
        assert failure is None or failure.code is StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize(
    "bad", [Value(), Value(number_value=math.nan), Value(number_value=-math.inf)]
)
@pytest.mark.parametrize(
    ("wrap", "path"),
    [
        (lambda bad: bad, "context.a"),
        (
            lambda bad: Value(list_value=ListValue(values=[Value(bool_value=True), bad])),
            "context.a.1",
        ),
        (lambda bad: Value(struct_value=Struct(fields={"b": bad})), "context.a.b"),
    ],
)
def test_what_json_does_not_have_is_named_by_its_path(bad: Value, wrap: object, path: str) -> None:
    assert callable(wrap)
    message = messages.CheckRequest(context=Struct(fields={"a": wrap(bad)}))
    with pytest.raises(CallFailed, match=path):
        convert.check_request(message.SerializeToString())


DECISION = Decision(
    commit="c" * 40,
    allowed=False,
    reason=Reason.INSUFFICIENT_SCOPE,
    message="a message",
    api="health",
    revision="r1",
    time=1.0,
    rules=("a", "b"),
    rules_truncated=True,
    missing_scopes=("read:patients",),
    http_status=403,
    www_authenticate="Bearer",
    retry_after=7,
    dpop_nonce="n-1",
    token=verified_token(),
    cacheable_until=1_800_000_005,
    detail="SECRET",
    unverified_issuer="SECRET",
    unverified_key_id="SECRET",
    search_stopped=True,
    unknown_facts=("token.acr",),
)


def test_a_decision_comes_out_whole_and_without_what_is_for_the_log() -> None:
    data = convert_response.check_response((DECISION, "d-1"))
    assert b"SECRET" not in data
    message = messages.CheckResponse.FromString(data)
    expected = messages.CheckResponse(
        allowed=False,
        reason="INSUFFICIENT_SCOPE",
        message="a message",
        rules=["a", "b"],
        rules_truncated=True,
        missing_scopes=["read:patients"],
        http_status=403,
        www_authenticate="Bearer",
        subject=messages.Subject(
            subject="user-1",
            issuer="https://issuer.example/",
            client="client-1",
            kind=messages.SUBJECT_KIND_USER,
            scopes=["openid", "read:patients"],
            expires_at=Timestamp(seconds=1_800_003_600),
        ),
        decision_id="d-1",
        policy_revision="r1",
        policy_commit="c" * 40,
        retry_after_seconds=7,
        dpop_nonce="n-1",
        search_stopped=True,
        unknown_facts=["token.acr"],
    )
    expected.cacheable_until.seconds = 1_800_000_005
    assert message == expected


def test_every_field_of_the_response_is_written() -> None:
    message = messages.CheckResponse.FromString(convert_response.check_response((DECISION, "d-1")))
    written = {field.name for field, _ in message.ListFields()} | {"allowed"}
    assert written == set(messages.CheckResponse.DESCRIPTOR.fields_by_name)


def test_a_refusal_has_no_subject_and_may_not_be_kept() -> None:
    refused = Decision(False, Reason.TOKEN_MISSING, "", "health", "r1", 1.0, http_status=401)
    message = messages.CheckResponse.FromString(convert_response.check_response((refused, "d-1")))
    assert not message.HasField("subject")
    assert not message.HasField("cacheable_until")


PROOF = messages.SenderProof(
    dpop_proofs=["a.b.c", "d.e.f"],
    http_method="GET",
    http_uri="https://api.example.com/",
    client_certificate_sha256="thumbprint",
)


def test_what_came_along_with_the_token() -> None:
    given = SenderProof(
        ("a.b.c", "d.e.f"), "GET", "https://api.example.com/", "thumbprint", "request r-1"
    )
    check = messages.CheckRequest(proof=PROOF, request_id="r-1")
    batch = messages.BatchCheckRequest(proof=PROOF, request_id="r-1")
    stream = messages.CheckStreamRequest(request=check)
    assert convert.check_request(check.SerializeToString()).proof == given
    assert convert.batch_check_request(batch.SerializeToString()).request.proof == given
    streamed = convert.check_stream_request(stream.SerializeToString()).request
    assert isinstance(streamed, Request)
    assert streamed.proof == given


def test_calls_that_name_no_request_are_each_their_own() -> None:
    """Made again after a wait, a call is still the same; and no name stands for one of these."""
    data = messages.CheckRequest(proof=PROOF).SerializeToString()
    names = {convert.check_request(data).proof.request_id for _ in range(5)}
    assert len(names) == 5
    assert "" not in names
    named = messages.CheckRequest(proof=PROOF, request_id=names.copy().pop())
    assert convert.check_request(named.SerializeToString()).proof.request_id not in names


def test_nothing_that_came_along_costs_nothing() -> None:
    assert convert.check_request(b"").proof is NO_PROOF
    assert convert.batch_check_request(b"").request.proof is NO_PROOF


@pytest.mark.parametrize(
    ("read", "name"),
    [
        (convert.check_request, "CheckRequest"),
        (convert.batch_check_request, "BatchCheckRequest"),
        (convert.check_stream_request, "CheckStreamRequest"),
        (convert.explain_request, "ExplainRequest"),
    ],
)
def test_bytes_that_are_no_message_are_told_so(read: Callable[[bytes], object], name: str) -> None:
    with pytest.raises(CallFailed, match=f"^not a policyd.v1.{name} message$") as failed:
        read(b"\xff")
    assert failed.value.code is StatusCode.INVALID_ARGUMENT


def test_outcomes_are_written_once_and_not_all_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[str] = []
    write = messages.CheckResponse

    def counted(**fields: object) -> messages.CheckResponse:
        made.append(str(fields.get("message")))
        return write(**fields)  # type: ignore[arg-type]

    kept: dict[tuple[object, ...], bytes] = {}
    monkeypatch.setattr(convert_response, "_outcomes", kept)
    monkeypatch.setattr(convert_response, "_OUTCOMES_KEPT", 3)
    monkeypatch.setattr(messages, "CheckResponse", counted)
    for name in "aabbccaddd":
        said = Decision(False, Reason.NO_RULE_ALLOWS, name, "health", "r1", 1.0, http_status=403)
        data = convert_response.check_response((said, "d-1"))
        assert write.FromString(data).message == name
        assert len(kept) <= 3
    assert made == ["a", "b", "c", "d"]


def test_a_subject_is_written_once_for_its_token(monkeypatch: pytest.MonkeyPatch) -> None:
    token = verified_token()
    allowed = Decision(True, Reason.ALLOWED, "", "health", "r1", 1.0, token=token)
    first = convert_response.check_response((allowed, "d-1"))
    monkeypatch.setattr(messages, "Subject", None)
    assert convert_response.check_response((allowed, "d-1")) == first


def test_what_a_token_does_not_say_of_its_subject_is_left_out() -> None:
    token = msgspec.structs.replace(verified_token(), subject=None, client=None, memo=new_memo())
    token = msgspec.structs.replace(token, scopes=frozenset())
    allowed = Decision(True, Reason.ALLOWED, "", "health", "r1", 1.0, token=token)
    message = messages.CheckResponse.FromString(convert_response.check_response((allowed, "d-1")))
    said = {field.name for field, _ in message.subject.ListFields()}
    assert said == {"issuer", "kind", "expires_at"}


@pytest.mark.parametrize("size", [0, 1, 127, 128, 129, 1000, 1023, 1024, 1025, 16_383, 16_384])
def test_fields_of_any_size_are_written(size: int) -> None:
    said = Decision(False, Reason.NO_RULE_ALLOWS, "m" * size, "health", "r1", 1.0)
    answer = convert_response.check_stream_response("i" * size, (said, "d-1"))
    read = messages.CheckStreamResponse.FromString(answer)
    assert (len(read.id), len(read.response.message)) == (size, size)
