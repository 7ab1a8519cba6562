"""The services over a fake engine: what they ask of it, and what its refusals become."""

from __future__ import annotations

import json
from collections.abc import Sequence
from queue import SimpleQueue

import msgspec
import pytest
from google.protobuf.struct_pb2 import Struct, Value
from google.rpc.error_details_pb2 import ErrorInfo
from google.rpc.status_pb2 import Status

from policyd.audit import DecisionLog, Entry, Mask, Recorder
from policyd.config.request_limits import RequestLimits
from policyd.decision.errors import InvalidRequest, NotReady
from policyd.decision.explain import Explanation
from policyd.decision.model import BatchItem, BatchRequest, Decision, Partial, Request
from policyd.pdp.answering import Answering
from policyd.pdp.calls import CallFailed, Deferred, StatusCode
from policyd.pdp.waiting import Waiting
from policyd.reasons import Reason
from policyd.server.services.authorization import AuthorizationService
from policyd.server.services.explanation import ExplanationService
from policyd.server.transport.interface import Unary
from policyd.server.wire.convert_explanation import explain_response
from policyd.tokens.endpoints.pending import TokenPending
from policyd.v1 import authorization_pb2 as messages
from policyd.v1 import explanation_pb2
from tests.support.audit import MemorySink, NoCall
from tests.support.daemon import PATIENCE

ALLOWED = Decision(True, Reason.ALLOWED, "", "health", "r1", 1.0, ("reads",))


class FakeEngine:
    """Answers what it is told to, and remembers what it was asked."""

    def __init__(self, answer: Decision | InvalidRequest | NotReady = ALLOWED) -> None:
        self.answer = answer
        self.asked: list[Request] = []

    def check(self, request: Request) -> Decision:
        self.asked.append(request)
        if isinstance(self.answer, Exception):
            raise self.answer
        return self.answer

    def check_batch(self, batch: BatchRequest) -> list[Decision | InvalidRequest]:
        if isinstance(self.answer, NotReady):
            raise self.answer
        self.asked += [
            Request(
                batch.access_token,
                batch.api,
                item.action,
                item.resource_type,
                item.resource_id,
                item.attributes,
                batch.context,
                batch.proof,
                batch.request_id,
            )
            for item in batch.items
        ]
        return [self.answer for _ in batch.items]

    def check_partially(self, request: Request, unknown: Sequence[str]) -> Decision:
        partial = Partial("maybe", tuple(unknown), tuple(unknown))
        return msgspec.structs.replace(self.check(request), partial=partial)

    def filter(self, request: Request) -> Decision:
        return self.check_partially(request, ["resource"])

    def check_batch_partially(
        self, batch: BatchRequest, unknown: Sequence[str]
    ) -> list[Decision | InvalidRequest]:
        partial = Partial("maybe", tuple(unknown), tuple(unknown))
        return [
            msgspec.structs.replace(one, partial=partial) if isinstance(one, Decision) else one
            for one in self.check_batch(batch)
        ]

    def explain(self, request: Request) -> Explanation:
        return Explanation(self.check(request))


class AskingEngine(FakeEngine):
    """Has to ask an issuer about each token first. `asks` counts that."""

    def __init__(self, answer: Decision | InvalidRequest | NotReady = ALLOWED) -> None:
        super().__init__(answer)
        self.asks = 0
        self._known = False

    def _need_to_know(self) -> None:
        if not self._known:
            raise TokenPending("question", self._fetch, self._fetch)

    def _fetch(self) -> None:
        self.asks += 1
        self._known = True

    def check(self, request: Request) -> Decision:
        self._need_to_know()
        return super().check(request)

    def check_batch(self, batch: BatchRequest) -> list[Decision | InvalidRequest]:
        self._need_to_know()
        return super().check_batch(batch)

    def explain(self, request: Request) -> Explanation:
        self._need_to_know()
        return super().explain(request)


class FussyEngine(FakeEngine):
    """Knows no other action than `read`."""

    def check_batch(self, batch: BatchRequest) -> list[Decision | InvalidRequest]:
        mistake = InvalidRequest("action", "no such action", "UNKNOWN_ACTION")
        return [self.answer_to(item) if item.action == "read" else mistake for item in batch.items]

    def answer_to(self, item: BatchItem) -> Decision:
        """Return a decision that tells which item it is of."""
        return Decision(True, Reason.ALLOWED, item.resource_id, "health", "r1", 1.0, ("reads",))


class Fixture:
    """Both services over one engine and one log. `seen` are the log's entries, once drained."""

    def __init__(self, engine: FakeEngine) -> None:
        self.sink = MemorySink()
        self.seen: list[Entry] = []
        self.log = DecisionLog(Recorder(Mask()), self.sink, observe=self.seen.extend)
        answering = Answering(engine, self.log, default_api="health")
        self.service = AuthorizationService(answering)
        self.explanations = ExplanationService(answering, Mask())

    def records(self) -> int:
        self.log.drain()
        return len(self.sink.data.splitlines())


def reason_of(failed: CallFailed) -> str:
    status = Status.FromString(failed.details)
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert info.domain == "policyd"
    reason: str = info.reason
    return reason


def at_once(answer: bytes | Deferred[bytes]) -> bytes:
    assert isinstance(answer, bytes)
    return answer


def delivered(answer: bytes | Deferred[bytes]) -> bytes | CallFailed:
    """Return an answer that was put off, once it is there."""
    assert isinstance(answer, Deferred)
    brought: SimpleQueue[bytes | CallFailed] = SimpleQueue()
    answer.begin(brought.put)
    return brought.get(timeout=PATIENCE)


def test_without_policies_there_is_no_answer_and_no_record() -> None:
    fixture = Fixture(FakeEngine(NotReady()))
    calls = (
        fixture.service.check,
        fixture.service.batch_check,
        fixture.service.partial_check,
        fixture.service.batch_partial_check,
        fixture.explanations.explain,
    )
    for call in calls:
        with pytest.raises(CallFailed) as caught:
            call(b"", NoCall())
        assert caught.value.code is StatusCode.UNAVAILABLE
        assert reason_of(caught.value) == "POLICY_NOT_LOADED"
    assert fixture.records() == 0


def test_without_policies_a_stream_goes_on() -> None:
    fixture = Fixture(FakeEngine(NotReady()))
    answer = at_once(fixture.service.check_stream(b"", NoCall()))
    error = messages.CheckStreamResponse.FromString(answer).error
    assert error.code == StatusCode.UNAVAILABLE


def test_the_default_api_is_for_those_who_name_none() -> None:
    engine = FakeEngine()
    fixture = Fixture(engine)
    for api in ("", "other"):
        request = messages.CheckRequest(api=api)
        fixture.service.check(request.SerializeToString(), NoCall())
        batch = messages.BatchCheckRequest(api=api, items=[messages.BatchCheckItem()])
        fixture.service.batch_check(batch.SerializeToString(), NoCall())
        explain = explanation_pb2.ExplainRequest(request=request)
        fixture.explanations.explain(explain.SerializeToString(), NoCall())
    assert [request.api for request in engine.asked] == ["health"] * 3 + ["other"] * 3
    assert fixture.records() == 6


def test_a_mistake_becomes_an_error_with_its_suggestion() -> None:
    mistake = InvalidRequest("action", "no such action", "UNKNOWN_ACTION", "read")
    fixture = Fixture(FakeEngine(mistake))
    with pytest.raises(CallFailed, match="action: no such action; did you mean `read`") as caught:
        fixture.service.check(b"", NoCall())
    assert reason_of(caught.value) == "UNKNOWN_ACTION"
    batch = messages.BatchCheckRequest(items=[messages.BatchCheckItem(id="a")])
    answer = at_once(fixture.service.batch_check(batch.SerializeToString(), NoCall()))
    (result,) = messages.BatchCheckResponse.FromString(answer).results
    assert (result.id, result.error.code) == ("a", StatusCode.INVALID_ARGUMENT)
    assert fixture.records() == 0


def test_each_item_of_a_batch_has_its_own_answer_and_record() -> None:
    fixture = Fixture(FussyEngine())
    malformed = Struct(fields={"n": Value(number_value=float("nan"))})
    asked = {
        "a": messages.BatchCheckItem(action="read", resource=messages.Resource(id="p1")),
        "b": messages.BatchCheckItem(action="reed"),
        "c": messages.BatchCheckItem(resource=messages.Resource(properties=malformed)),
        "": messages.BatchCheckItem(action="read", resource=messages.Resource(id="p2")),
    }
    for name, item in asked.items():
        item.id = name
    batch = messages.BatchCheckRequest(items=asked.values(), request_id="batch-1")
    answer = at_once(fixture.service.batch_check(batch.SerializeToString(), NoCall()))
    results = messages.BatchCheckResponse.FromString(answer).results
    told = {result.id: result.response.message or result.error.message for result in results}
    assert list(told) == list(asked)
    assert (told["a"], told["b"], told[""]) == ("p1", "action: no such action", "p2")
    assert told["c"].startswith("resource.properties.n: NaN")
    fixture.log.drain()
    first, second = fixture.seen
    assert first.details is second.details
    decided = {entry.decision_id: entry.item.resource_id for entry in fixture.seen}
    named = [result.response.decision_id for result in (results[0], results[3])]
    assert decided == dict(zip(named, ("p1", "p2"), strict=True))


def test_a_batch_asks_what_as_many_checks_would() -> None:
    engine = FakeEngine()
    fixture = Fixture(engine)
    proof = messages.SenderProof(dpop_proofs=["p"], http_method="GET", http_uri="u")
    batch = messages.BatchCheckRequest(
        access_token="t", api="other", proof=proof, request_id="request-1"
    )
    batch.context.update({"zone": "inside"})
    for action in ("read", "write"):
        item = batch.items.add(action=action, resource=messages.Resource(type="doc", id=action))
        item.resource.properties.update({"owner": action})
        alone = messages.CheckRequest(
            access_token="t", api="other", proof=proof, context=batch.context,
            action=action, resource=item.resource, request_id="request-1",
        )  # fmt: skip
        fixture.service.check(alone.SerializeToString(), NoCall())
    fixture.service.batch_check(batch.SerializeToString(), NoCall())
    assert engine.asked[:2] == engine.asked[2:]
    assert engine.asked[2].context == {"zone": "inside"}
    assert engine.asked[2].proof.dpop_proofs == ("p",)


def test_the_log_keeps_no_token() -> None:
    fixture = Fixture(FakeEngine())
    request = messages.CheckRequest(access_token="SECRET")
    batch = messages.BatchCheckRequest(
        access_token="SECRET", items=[messages.BatchCheckItem(action="read")]
    )
    explain = explanation_pb2.ExplainRequest(request=request)
    stream = messages.CheckStreamRequest(request=request)
    fixture.service.check(request.SerializeToString(), NoCall())
    fixture.service.check_stream(stream.SerializeToString(), NoCall())
    fixture.service.batch_check(batch.SerializeToString(), NoCall())
    fixture.explanations.explain(explain.SerializeToString(), NoCall())
    fixture.log.drain()
    assert len(fixture.seen) == 4
    assert "SECRET" not in repr(fixture.seen)


def test_an_explanation_of_a_refusal_has_nothing_but_the_decision() -> None:
    data = explain_response((Explanation(ALLOWED), "d-1"), Mask())
    message = explanation_pb2.ExplainResponse.FromString(data)
    assert [field.name for field, _ in message.ListFields()] == ["response"]


METHODS = {
    "check": messages.CheckRequest(),
    "check_stream": messages.CheckStreamRequest(id="a", request=messages.CheckRequest()),
    "batch_check": messages.BatchCheckRequest(items=[messages.BatchCheckItem(id="a")]),
    "explain": explanation_pb2.ExplainRequest(request=messages.CheckRequest()),
}


@pytest.mark.parametrize("method", METHODS)
def test_what_an_issuer_must_be_asked_about_is_answered_later(method: str) -> None:
    """With the answer that it would have had at once, and one record."""
    data = METHODS[method].SerializeToString()
    answers: list[object] = []
    for engine in (FakeEngine(), AskingEngine()):
        fixture = Fixture(engine)
        service = fixture.explanations if method == "explain" else fixture.service
        given = getattr(service, method)(data, NoCall())
        answer = delivered(given) if isinstance(engine, AskingEngine) else given
        assert isinstance(answer, bytes)
        answers.append(answer.replace(next_id(fixture), b""))
        assert fixture.records() == 1
        assert len(engine.asked) == 1
    assert answers[0] == answers[1]


def next_id(fixture: Fixture) -> bytes:
    """Return the identifier of the fixture's only decision."""
    fixture.log.drain()
    record: dict[str, str] = json.loads(fixture.sink.data)
    return record["decision_id"].encode()


@pytest.mark.parametrize(
    ("method", "code"),
    [("check", "INVALID_ARGUMENT"), ("explain", "INVALID_ARGUMENT")],
)
def test_a_mistake_is_told_later_too(method: str, code: str) -> None:
    mistake = InvalidRequest("action", "no such action", "UNKNOWN_ACTION")
    fixture = Fixture(AskingEngine(mistake))
    service = fixture.explanations if method == "explain" else fixture.service
    failed = delivered(getattr(service, method)(METHODS[method].SerializeToString(), NoCall()))
    assert isinstance(failed, CallFailed)
    assert failed.code.name == code
    assert reason_of(failed) == "UNKNOWN_ACTION"
    assert fixture.records() == 0


def test_transports_hear_when_waiting_is_to_be_expected() -> None:
    log = DecisionLog(Recorder(Mask()), MemorySink())
    for expected in (True, False):
        answering = Answering(FakeEngine(), log, waiting=Waiting(expected=expected))
        service = AuthorizationService(answering)
        unary = [method for method in service.methods().values() if isinstance(method, Unary)]
        assert [method.waits for method in unary] == [expected] * 5


@pytest.mark.parametrize("method", ["check", "batch_check", "check_stream", "explain"])
def test_the_log_keeps_little_of_a_large_call_that_no_rule_can_read(method: str) -> None:
    fixture = Fixture(FakeEngine())
    large = {"note": "x" * 100_000}
    request = messages.CheckRequest(api="health", request_id="r" * 100)
    request.context.update(large)
    request.resource.properties.update(large)
    batch = messages.BatchCheckRequest(api="health", items=[messages.BatchCheckItem()])
    batch.context.update(large)
    asked = {
        "check": request,
        "batch_check": batch,
        "check_stream": messages.CheckStreamRequest(request=request),
        "explain": explanation_pb2.ExplainRequest(request=request),
    }
    service = fixture.explanations if method == "explain" else fixture.service
    at_once(getattr(service, method)(asked[method].SerializeToString(), NoCall()))
    assert fixture.log.waiting == 1
    assert 0 < fixture.log.waiting_bytes < 5000
    assert fixture.records() == 1
    (kept,) = fixture.seen
    assert (kept.details.context, kept.item.attributes) == ({}, {})


def test_a_malformed_question_of_a_stream_is_answered_by_its_name() -> None:
    engine = FakeEngine()
    fixture = Fixture(engine)
    request = messages.CheckRequest()
    request.context.fields["n"].number_value = float("nan")
    asked = messages.CheckStreamRequest(id="a", request=request)
    answer = at_once(fixture.service.check_stream(asked.SerializeToString(), NoCall()))
    told = messages.CheckStreamResponse.FromString(answer)
    assert (told.id, told.error.code) == ("a", StatusCode.INVALID_ARGUMENT)
    assert (engine.asked, fixture.records()) == ([], 0)


def test_each_method_keeps_to_the_limits_of_its_service() -> None:
    answering = Answering(FakeEngine(), DecisionLog(Recorder(Mask()), MemorySink()))
    limits = RequestLimits(values=3, batch_items=2)
    service = AuthorizationService(answering, limits)
    explanations = ExplanationService(answering, Mask(), limits)
    for values, fits in ((3, True), (4, False)):
        request = messages.CheckRequest(api="a")
        request.context.update({f"limited-{number}": None for number in range(values)})
        explain = explanation_pb2.ExplainRequest(request=request)
        batch = messages.BatchCheckRequest(
            context=request.context, items=[messages.BatchCheckItem()] * 2
        )
        asked = (
            (service.check, request),
            (service.batch_check, batch),
            (explanations.explain, explain),
        )
        for call, message in asked:
            if fits:
                at_once(call(message.SerializeToString(), NoCall()))
                continue
            with pytest.raises(CallFailed) as caught:
                call(message.SerializeToString(), NoCall())
            assert reason_of(caught.value) == "TOO_MANY_VALUES"
        stream = messages.CheckStreamRequest(request=request).SerializeToString()
        answer = messages.CheckStreamResponse.FromString(
            at_once(service.check_stream(stream, NoCall()))
        )
        assert answer.HasField("response") is fits
    three = messages.BatchCheckRequest(items=[messages.BatchCheckItem()] * 3)
    with pytest.raises(CallFailed) as caught:
        service.batch_check(three.SerializeToString(), NoCall())
    assert reason_of(caught.value) == "BATCH_TOO_LARGE"


def test_a_mistake_is_named_by_where_it_stands_in_its_message() -> None:
    mistake = InvalidRequest("action", "no such action", "UNKNOWN_ACTION")
    fixture = Fixture(FakeEngine(mistake))
    stream = messages.CheckStreamRequest(id="a", request=messages.CheckRequest())
    answer = messages.CheckStreamResponse.FromString(
        at_once(fixture.service.check_stream(stream.SerializeToString(), NoCall()))
    )
    assert (answer.id, answer.error.message) == ("a", "request.action: no such action")
    with pytest.raises(CallFailed, match=r"^request\.action: "):
        fixture.explanations.explain(b"", NoCall())
    with pytest.raises(CallFailed, match=r"^action: "):
        fixture.service.check(b"", NoCall())


def test_partial_answers_tell_what_is_certain_and_are_no_decisions_in_the_log() -> None:
    fixture = Fixture(FakeEngine(msgspec.structs.replace(ALLOWED, allowed=False)))
    request = messages.PartialCheckRequest(action="read", assumed_unknown=["resource.owner"])
    answer = messages.PartialCheckResponse.FromString(
        at_once(fixture.service.partial_check(request.SerializeToString(), NoCall()))
    )
    assert answer.outcome == messages.PARTIAL_OUTCOME_MAYBE
    assert answer.depends_on == ["resource.owner"]
    assert answer.response.decision_id
    fixture.log.drain()
    record = json.loads(fixture.sink.data)
    assert (record["type"], record["effect"]) == ("partial", "maybe")
    assert record["assumed_unknown"] == record["depends_on"] == ["resource.owner"]


def test_a_partial_batch_answers_each_item() -> None:
    fixture = Fixture(FakeEngine())
    batch = messages.BatchPartialCheckRequest(
        items=[messages.BatchCheckItem(id=name) for name in "ab"], assumed_unknown=["resource"]
    )
    answer = messages.BatchPartialCheckResponse.FromString(
        at_once(fixture.service.batch_partial_check(batch.SerializeToString(), NoCall()))
    )
    assert [one.id for one in answer.results] == ["a", "b"]
    assert {one.response.outcome for one in answer.results} == {messages.PARTIAL_OUTCOME_MAYBE}
    assert fixture.records() == 2


@pytest.mark.parametrize("names", [["x" * 257], ["resource"] * 257])
def test_names_of_unknown_facts_are_bounded(names: list[str]) -> None:
    fixture = Fixture(FakeEngine())
    alone = messages.PartialCheckRequest(assumed_unknown=names)
    batch = messages.BatchPartialCheckRequest(assumed_unknown=names)
    for call, message in (
        (fixture.service.partial_check, alone),
        (fixture.service.batch_partial_check, batch),
    ):
        with pytest.raises(CallFailed, match="assumed_unknown") as caught:
            call(message.SerializeToString(), NoCall())
        assert reason_of(caught.value) == "FIELD_TOO_LONG"


@pytest.mark.parametrize("kind", ["partial_check", "batch_partial_check"])
def test_bytes_that_are_no_partial_question_are_refused(kind: str) -> None:
    with pytest.raises(CallFailed, match=r"not a policyd\.v1\.\w*PartialCheckRequest") as caught:
        getattr(Fixture(FakeEngine()).service, kind)(b"\xff", NoCall())
    assert caught.value.code is StatusCode.INVALID_ARGUMENT
