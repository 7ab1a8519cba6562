"""Plain values to messages of `policyd.v1`, and back. Nothing here sends anything."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime, timezone
from typing import TypeVar

import grpc
from google.protobuf.message import DecodeError, Message

from . import messages
from .attributes import json_of, struct_of
from .credentials import bare_token, new_request_id
from .explanation import (
    ExplainedCondition,
    ExplainedRule,
    Explanation,
    SeenFact,
    StepUp,
    TraceStep,
)
from .values import (
    Answer,
    AuthorizationFailed,
    Json,
    PartialAnswer,
    Proof,
    Question,
    QuestionInvalid,
    Resource,
    Subject,
)

M = TypeVar("M", bound=Message)

_KINDS: dict[int, str | None] = {
    messages.SUBJECT_KIND_USER: "user",
    messages.SUBJECT_KIND_APPLICATION: "application",
}
_TRUTHS: dict[int, bool | None] = {messages.TRUTH_TRUE: True, messages.TRUTH_FALSE: False}
_EFFECTS = {messages.EFFECT_ALLOW: "allow", messages.EFFECT_DENY: "deny"}
_OUTCOMES = {
    messages.PARTIAL_OUTCOME_ALLOW: "allow",
    messages.PARTIAL_OUTCOME_MAYBE: "maybe",
}
_STATES = {
    messages.SeenFact.STATE_KNOWN: "known",
    messages.SeenFact.STATE_MISSING: "missing",
    messages.SeenFact.STATE_ILL_TYPED: "ill-typed",
}


def check_request(question: Question) -> messages.CheckRequest:
    """Return the message of a question. Raises `QuestionInvalid`."""
    return messages.CheckRequest(
        access_token=bare_token(question.access_token),
        api=question.api,
        action=question.action,
        resource=_resource(question.resource),
        context=_context(question.context),
        proof=_proof(question.proof),
        request_id=_request_id(question.request_id, question.proof),
    )


def batch_check_request(
    access_token: str,
    items: Iterable[tuple[str, Resource]],
    *,
    api: str,
    context: Mapping[str, Json],
    proof: Proof | None,
    request_id: str,
) -> messages.BatchCheckRequest:
    """Return the message of several questions about one token. Raises `QuestionInvalid`."""
    return messages.BatchCheckRequest(
        access_token=bare_token(access_token),
        api=api,
        context=_context(context),
        items=[
            messages.BatchCheckItem(action=action, resource=_resource(resource))
            for action, resource in items
        ],
        proof=_proof(proof),
        request_id=_request_id(request_id, proof),
    )


def partial_check_request(
    question: Question, unknown: Iterable[str]
) -> messages.PartialCheckRequest:
    """Return the message of a question with unknown facts. Raises `QuestionInvalid`."""
    asked = check_request(question)
    return messages.PartialCheckRequest(
        access_token=asked.access_token,
        api=asked.api,
        action=asked.action,
        resource=asked.resource,
        context=asked.context,
        proof=asked.proof if asked.HasField("proof") else None,
        request_id=asked.request_id,
        assumed_unknown=_names(unknown),
    )


def batch_partial_check_request(
    batch: messages.BatchCheckRequest, unknown: Iterable[str]
) -> messages.BatchPartialCheckRequest:
    """Return the message of a batch whose questions have unknown facts."""
    return messages.BatchPartialCheckRequest(
        access_token=batch.access_token,
        api=batch.api,
        context=batch.context,
        items=batch.items,
        proof=batch.proof if batch.HasField("proof") else None,
        request_id=batch.request_id,
        assumed_unknown=_names(unknown),
    )


def filter_request(
    access_token: str,
    action: str,
    resource_type: str,
    *,
    api: str,
    context: Mapping[str, Json],
    proof: Proof | None,
    request_id: str,
) -> messages.FilterRequest:
    """Return the message of a question about all resources of a type. Raises `QuestionInvalid`."""
    return messages.FilterRequest(
        access_token=bare_token(access_token),
        api=api,
        action=action,
        resource_type=resource_type,
        context=_context(context),
        proof=_proof(proof),
        request_id=_request_id(request_id, proof),
    )


def _names(unknown: Iterable[str]) -> list[str]:
    """Return the names of facts; one text would be taken for the list of its letters."""
    if isinstance(unknown, str):
        raise QuestionInvalid("the unknown facts are a list of names, and no text", "UNKNOWN_FACT")
    return list(unknown)


def _resource(resource: Resource) -> messages.Resource:
    what = f"`{resource.type}` attribute"
    properties = struct_of(resource.properties, what, "ATTRIBUTE_INVALID")
    return messages.Resource(type=resource.type, id=resource.id, properties=properties)


def _context(context: Mapping[str, Json]) -> messages.Struct:
    return struct_of(context, "context entry", "CONTEXT_INVALID")


def _proof(proof: Proof | None) -> messages.SenderProof | None:
    if proof is None:
        return None
    return messages.SenderProof(
        dpop_proofs=proof.dpop_proofs,
        http_method=proof.http_method,
        http_uri=proof.http_uri,
        client_certificate_sha256=proof.client_certificate_sha256,
    )


def _request_id(given: str, proof: Proof | None) -> str:
    """Name a request with a proof: a repetition of the call is no second use of the proof."""
    return given or (new_request_id() if proof is not None else "")


def parsed(kind: type[M], data: bytes) -> M:
    """Return a message. Raises `AuthorizationFailed`."""
    try:
        return kind.FromString(data)
    except DecodeError:
        raise AuthorizationFailed("UNKNOWN", "the answer is no message of policyd") from None


def outcomes(
    results: Sequence[messages.BatchCheckResult],
) -> list[Answer | AuthorizationFailed]:
    """Return what came out of each item of a batch."""
    return [outcome(result) for result in results]


def partial_outcomes(
    results: Sequence[messages.BatchPartialCheckResult],
) -> list[PartialAnswer | AuthorizationFailed]:
    """Return what came out of each item of a batch with unknown facts."""
    return [
        partial_answer(result.response)
        if result.WhichOneof("outcome") == "response"
        else _failure(result)
        for result in results
    ]


def outcome(
    result: messages.BatchCheckResult | messages.CheckStreamResponse,
) -> Answer | AuthorizationFailed:
    """Return an answer, or why there is none."""
    if result.WhichOneof("outcome") == "response":
        return answer(result.response)
    return _failure(result)


def _failure(
    result: messages.BatchCheckResult
    | messages.BatchPartialCheckResult
    | messages.CheckStreamResponse,
) -> AuthorizationFailed:
    """Return why there is no answer."""
    if result.WhichOneof("outcome") is None:
        return AuthorizationFailed("UNKNOWN", "the answer is empty")
    code = next((one.name for one in grpc.StatusCode if one.value[0] == result.error.code), "")
    return AuthorizationFailed(code or "UNKNOWN", result.error.message, reason(result.error))


def reason(status: messages.Status) -> str:
    """Return policyd's reason of a status, empty where there is none."""
    info = messages.ErrorInfo()
    for detail in status.details:
        if detail.Unpack(info):
            found: str = info.reason
            return found
    return ""


def answer(message: messages.CheckResponse) -> Answer:
    """Return an answer."""
    until = message.cacheable_until
    return Answer(
        allowed=message.allowed,
        reason=message.reason,
        message=message.message,
        rules=tuple(message.rules),
        rules_truncated=message.rules_truncated,
        missing_scopes=tuple(message.missing_scopes),
        http_status=message.http_status,
        www_authenticate=message.www_authenticate,
        retry_after_seconds=message.retry_after_seconds,
        dpop_nonce=message.dpop_nonce,
        subject=_subject(message.subject) if message.HasField("subject") else None,
        decision_id=message.decision_id,
        policy_revision=message.policy_revision,
        cacheable_until=datetime.fromtimestamp(until.seconds, timezone.utc)
        if message.HasField("cacheable_until")
        else None,
        search_stopped=message.search_stopped,
        unknown_facts=tuple(message.unknown_facts),
        policy_commit=message.policy_commit,
    )


def _subject(message: messages.Subject) -> Subject:
    """Return whom a token names."""
    return Subject(
        subject=message.subject,
        issuer=message.issuer,
        client=message.client,
        kind=_KINDS.get(message.kind),
        scopes=tuple(message.scopes),
        scopes_truncated=message.scopes_truncated,
        expires_at=datetime.fromtimestamp(message.expires_at.seconds, timezone.utc)
        if message.HasField("expires_at")
        else None,
        actor=message.actor,
    )


def partial_answer(message: messages.PartialCheckResponse) -> PartialAnswer:
    """Return an answer to a question with unknown facts; an outcome that is not known denies."""
    return PartialAnswer(
        outcome=_OUTCOMES.get(message.outcome, "deny"),
        depends_on=tuple(message.depends_on),
        search_stopped=message.search_stopped,
        answer=answer(message.response),
    )


def explanation(message: messages.ExplainResponse) -> Explanation:
    """Return an explanation."""
    return Explanation(
        answer=answer(message.response),
        rules=tuple(
            ExplainedRule(
                rule=one.rule,
                effect=_EFFECTS.get(one.effect, ""),
                applies=one.applies,
                value=_TRUTHS.get(one.value),
                steps=_steps(one.steps),
                file=one.location.file,
                line=one.location.line,
            )
            for one in message.rules
        ),
        conditions=tuple(
            ExplainedCondition(
                condition=one.condition,
                value=_TRUTHS.get(one.value),
                steps=_steps(one.steps),
                file=one.location.file,
                line=one.location.line,
            )
            for one in message.conditions
        ),
        ignored_attributes=tuple(message.ignored_attributes),
        ignored_context=tuple(message.ignored_context),
        missing_scope_alternatives=tuple(
            tuple(one.scopes) for one in message.missing_scope_alternatives
        ),
        alternatives_truncated=message.alternatives_truncated,
        step_up=_step_up(message.step_up) if message.HasField("step_up") else None,
        detail=message.detail,
    )


def _step_up(message: messages.StepUp) -> StepUp:
    age = message.max_age_seconds if message.HasField("max_age_seconds") else None
    return StepUp(tuple(message.acr_values), age)


def _steps(steps: Iterable[messages.TraceStep]) -> tuple[TraceStep, ...]:
    return tuple(
        TraceStep(
            depth=one.depth,
            text=one.text,
            value=_TRUTHS.get(one.value),
            condition=one.condition,
            facts=tuple(
                SeenFact(
                    path=fact.path,
                    state=_STATES.get(fact.state, ""),
                    value=json_of(fact.value) if fact.HasField("value") else None,
                    masked=fact.masked,
                )
                for fact in one.facts
            ),
        )
        for one in steps
    )
