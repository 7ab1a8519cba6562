"""Spliced responses are the messages that protobuf would write."""

from __future__ import annotations

import msgspec
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc.status_pb2 import Status
from hypothesis import given
from hypothesis import strategies as st

from policyd.decision.model import Decision
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.reasons import Reason
from policyd.server.wire import convert_response
from policyd.server.wire.convert_response import (
    Result,
    batch_check_response,
    check_response,
    check_stream_response,
)
from policyd.tokens.model import new_memo
from policyd.v1 import authorization_pb2 as messages
from tests.support.audit import verified_token

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
NAMES = st.lists(TEXT, max_size=3).map(tuple)
TOKENS = st.builds(
    lambda subject, client: msgspec.structs.replace(
        verified_token(), subject=subject, client=client, memo=[None, None]
    ),
    st.none() | TEXT.filter(bool),
    st.none() | TEXT.filter(bool),
)
DECISIONS = st.builds(
    Decision,
    allowed=st.booleans(),
    reason=st.sampled_from(Reason),
    message=TEXT,
    api=TEXT,
    revision=TEXT,
    rules=NAMES,
    rules_truncated=st.booleans(),
    search_stopped=st.booleans(),
    unknown_facts=NAMES,
    missing_scopes=NAMES,
    http_status=st.integers(0, 599),
    www_authenticate=TEXT,
    retry_after=st.none() | st.integers(0, 3600),
    dpop_nonce=TEXT,
    token=st.none() | TOKENS,
    cacheable_until=st.none() | st.integers(0, 253402300799),
)


def message(decision: Decision, decision_id: str) -> messages.CheckResponse:
    """Build the message field by field."""
    token, until = decision.token, decision.cacheable_until
    kinds = {"user": messages.SUBJECT_KIND_USER, "application": messages.SUBJECT_KIND_APPLICATION}
    return messages.CheckResponse(
        allowed=decision.allowed,
        reason=decision.reason,
        message=decision.message,
        rules=decision.rules,
        rules_truncated=decision.rules_truncated,
        search_stopped=decision.search_stopped,
        unknown_facts=decision.unknown_facts,
        missing_scopes=decision.missing_scopes,
        http_status=decision.http_status,
        www_authenticate=decision.www_authenticate,
        subject=None
        if token is None
        else messages.Subject(
            subject=token.subject or "",
            issuer=token.issuer,
            client=token.client or "",
            kind=kinds.get(token.kind or "", messages.SUBJECT_KIND_UNSPECIFIED),
            scopes=sorted(token.scopes),
            expires_at=Timestamp(seconds=token.expires_at),
            actor=token.actor or "",
        ),
        decision_id=decision_id,
        policy_revision=decision.revision,
        cacheable_until=None if until is None else Timestamp(seconds=until),
        retry_after_seconds=decision.retry_after or 0,
        dpop_nonce=decision.dpop_nonce,
    )


@given(DECISIONS, TEXT)
def test_a_response_is_the_message(decision: Decision, decision_id: str) -> None:
    for _ in range(2):  # written, and remembered
        written = messages.CheckResponse.FromString(check_response((decision, decision_id)))
        assert written == message(decision, decision_id)


@pytest.mark.parametrize(("number", "listed"), [(102, 102), (103, 102)])
def test_the_scopes_of_a_token_are_bounded(number: int, listed: int) -> None:
    scopes = frozenset(f"scope:{place:04}" for place in range(number))
    token = msgspec.structs.replace(verified_token(), scopes=scopes, memo=new_memo())
    decision = Decision(True, Reason.ALLOWED, "", "health", "r", 1.0, token=token)
    subject = messages.CheckResponse.FromString(check_response((decision, "d"))).subject
    assert subject.scopes == sorted(scopes)[:listed]
    assert subject.scopes_truncated is (listed < number)


STATUS = Status(code=3, message="no")
ERROR = CallFailed(StatusCode.INVALID_ARGUMENT, "no", STATUS.SerializeToString())
RESULTS: st.SearchStrategy[Result] = st.tuples(DECISIONS, TEXT) | st.just(ERROR)


def results(decisions: list[Decision]) -> st.SearchStrategy[list[tuple[str, Result]]]:
    """Return results of which several may have one decision."""
    of_one = st.tuples(st.sampled_from(decisions), TEXT) | st.just(ERROR)
    return st.lists(st.tuples(TEXT, of_one), max_size=5)


@given(st.lists(DECISIONS, min_size=1, max_size=2).flatmap(results))
def test_a_batch_is_its_results(items: list[tuple[str, Result]]) -> None:
    written = messages.BatchCheckResponse.FromString(
        batch_check_response([name for name, _ in items], [outcome for _, outcome in items])
    )
    expected = messages.BatchCheckResponse()
    for name, outcome in items:
        result = expected.results.add(id=name)
        if isinstance(outcome, CallFailed):
            result.error.CopyFrom(STATUS)
        else:
            result.response.CopyFrom(message(*outcome))
    assert written == expected


@given(TEXT, RESULTS)
def test_an_answer_of_a_stream_bears_its_name(name: str, outcome: Result) -> None:
    written = messages.CheckStreamResponse.FromString(check_stream_response(name, outcome))
    expected = messages.CheckStreamResponse(id=name)
    if isinstance(outcome, CallFailed):
        expected.error.CopyFrom(STATUS)
    else:
        expected.response.CopyFrom(message(*outcome))
    assert written == expected


def test_what_is_remembered_of_outcomes_is_bounded() -> None:
    convert_response._outcomes.clear()
    for number in range(convert_response._OUTCOMES_KEPT + 10):
        check_response((Decision(False, Reason.NO_RULE_ALLOWS, str(number), "api", "r", 1.0), "d"))

    assert 0 < len(convert_response._outcomes) <= convert_response._OUTCOMES_KEPT
