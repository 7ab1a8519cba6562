"""Decisions to responses.

Input: decisions. Output: the bytes of a response. They are spliced from fields that were written
before, since fields may stand in any order: what decisions of one outcome share, what a token says
of its subject, and until when an answer may be kept, which is the same for all of a second.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from google.protobuf.timestamp_pb2 import Timestamp

from policyd.decision.model import Decided, Decision
from policyd.pdp.calls import CallFailed
from policyd.pdp.showing import listed_scopes
from policyd.server.wire.splice import SIZES, delimited, size, tag
from policyd.tokens.model import RESPONSE_MEMO, VerifiedToken
from policyd.v1 import authorization_pb2 as messages

#: What is told of one question among several: a decision, or why there is none.
Result = Decided | CallFailed

_KINDS = {
    None: messages.SUBJECT_KIND_UNSPECIFIED,
    "user": messages.SUBJECT_KIND_USER,
    "application": messages.SUBJECT_KIND_APPLICATION,
}
_PARTIAL_OUTCOMES = {
    "allow": messages.PARTIAL_OUTCOME_ALLOW,
    "deny": messages.PARTIAL_OUTCOME_DENY,
    "maybe": messages.PARTIAL_OUTCOME_MAYBE,
}
_OUTCOMES_KEPT = 1024


_DECISION_ID = tag(messages.CheckResponse, "decision_id")
_RESULTS = tag(messages.BatchCheckResponse, "results")
_RESULT_ID = tag(messages.BatchCheckResult, "id")
_RESULT_RESPONSE = tag(messages.BatchCheckResult, "response")
_RESULT_ERROR = tag(messages.BatchCheckResult, "error")
_PARTIAL_RESPONSE = tag(messages.PartialCheckResponse, "response")
_STREAM_ID = tag(messages.CheckStreamResponse, "id")
_STREAM_RESPONSE = tag(messages.CheckStreamResponse, "response")
_STREAM_ERROR = tag(messages.CheckStreamResponse, "error")


def check_response(decided: Decided) -> bytes:
    """Write a CheckResponse."""
    decision, decision_id = decided
    token, until = decision.token, decision.cacheable_until
    name = decision_id.encode()
    return b"".join(
        (
            _outcome(decision),
            b"" if token is None else _subject(token),
            b"" if until is None else _until(until),
            _DECISION_ID,
            SIZES[len(name)],
            name,
        )
    )


class _Responses:
    """Writes CheckResponses as `check_response` does: what follows from the decision once for each
    run of one decision, as the engine returns it for a batch."""

    __slots__ = ("_begin", "_last")

    def __init__(self) -> None:
        self._last: Decision | None = None
        self._begin = b""

    def write(self, decided: Decided) -> bytes:
        decision, decision_id = decided
        if decision is not self._last:
            token, until = decision.token, decision.cacheable_until
            self._last = decision
            self._begin = b"%b%b%b%b" % (
                _outcome(decision),
                b"" if token is None else _subject(token),
                b"" if until is None else _until(until),
                _DECISION_ID,
            )
        name = decision_id.encode()
        return self._begin + SIZES[len(name)] + name


def partial_check_response(decided: Decided) -> bytes:
    """Write a PartialCheckResponse."""
    partial = decided[0].partial
    assert partial is not None, "a partial question gets a partial answer"
    fields = messages.PartialCheckResponse(
        outcome=_PARTIAL_OUTCOMES[partial.outcome],
        depends_on=partial.depends_on,
        search_stopped=partial.stopped,
    ).SerializeToString()
    return fields + delimited(_PARTIAL_RESPONSE, check_response(decided))


def batch_partial_check_response(ids: Sequence[str], results: Sequence[Result]) -> bytes:
    """Write a BatchPartialCheckResponse, as `batch_check_response` writes its own."""
    return batch_check_response(ids, results, partial_check_response)


def batch_check_response(
    ids: Sequence[str],
    results: Sequence[Result],
    write: Callable[[Decided], bytes] | None = None,
) -> bytes:
    """Write a BatchCheckResponse. `ids` and `results` are by item, in order; `write` writes a
    response, by default a CheckResponse. Its fields have the numbers of a
    BatchPartialCheckResponse's."""
    written: list[bytes] = []
    write = write or _Responses().write
    for item_id, result in zip(ids, results, strict=True):
        if isinstance(result, CallFailed):
            fields = delimited(_RESULT_ERROR, result.details)
        else:
            fields = delimited(_RESULT_RESPONSE, write(result))
        if item_id:
            fields += delimited(_RESULT_ID, item_id.encode())
        written += (_RESULTS, size(len(fields)), fields)
    return b"".join(written)


def check_stream_response(question_id: str, result: Result) -> bytes:
    """Write a CheckStreamResponse."""
    name = delimited(_STREAM_ID, question_id.encode()) if question_id else b""
    if isinstance(result, CallFailed):
        return name + delimited(_STREAM_ERROR, result.details)
    return name + delimited(_STREAM_RESPONSE, check_response(result))


#: The fields that decisions of one outcome share, for outcomes seen lately.
_outcomes: dict[tuple[object, ...], bytes] = {}


def _outcome(decision: Decision) -> bytes:
    key = (
        decision.allowed,
        decision.reason,
        decision.message,
        decision.rules,
        decision.rules_truncated,
        decision.missing_scopes,
        decision.http_status,
        decision.www_authenticate,
        decision.revision,
        decision.commit,
        decision.retry_after,
        decision.dpop_nonce,
        decision.search_stopped,
        decision.unknown_facts,
    )
    known = _outcomes.get(key)
    if known is not None:
        return known
    fields = messages.CheckResponse(
        allowed=decision.allowed,
        reason=decision.reason,
        message=decision.message,
        rules=decision.rules,
        rules_truncated=decision.rules_truncated,
        missing_scopes=decision.missing_scopes,
        http_status=decision.http_status,
        www_authenticate=decision.www_authenticate,
        policy_revision=decision.revision,
        policy_commit=decision.commit,
        retry_after_seconds=decision.retry_after or 0,
        dpop_nonce=decision.dpop_nonce,
        search_stopped=decision.search_stopped,
        unknown_facts=decision.unknown_facts,
    ).SerializeToString()
    # Each step is atomic, so threads may do this at the same time.
    if len(_outcomes) >= _OUTCOMES_KEPT:
        _outcomes.clear()
    _outcomes[key] = fields
    return fields


def _subject(token: VerifiedToken) -> bytes:
    known = token.memo[RESPONSE_MEMO]
    if type(known) is bytes:
        return known
    scopes = listed_scopes(token.scopes)
    subject = messages.Subject(
        subject=token.subject or "",
        issuer=token.issuer,
        client=token.client or "",
        kind=_KINDS[token.kind],
        scopes=scopes,
        scopes_truncated=len(scopes) < len(token.scopes),
        expires_at=Timestamp(seconds=token.expires_at),
        actor=token.actor or "",
    )
    fields = messages.CheckResponse(subject=subject).SerializeToString()
    token.memo[RESPONSE_MEMO] = fields
    return fields


#: The last moment that was written, and how.
_last_until = (0, b"")


def _until(seconds: int) -> bytes:
    global _last_until
    known, fields = _last_until
    if known != seconds:
        until = Timestamp(seconds=seconds)
        fields = messages.CheckResponse(cacheable_until=until).SerializeToString()
        _last_until = (seconds, fields)
    return fields
