"""What was decided, as the values of the daemon's client."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime
from functools import lru_cache
from typing import NoReturn

from policyd.audit import Mask, Projection
from policyd.client.explanation import (
    ExplainedCondition,
    ExplainedRule,
    Explanation,
    SeenFact,
    StepUp,
    TraceStep,
)
from policyd.client.values import Answer, AuthorizationFailed, PartialAnswer, Subject
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Decided
from policyd.diagnostics import Source
from policyd.pdp.answering import DecidedItem, Explained, NoDecision
from policyd.pdp.calls import CallFailed
from policyd.pdp.failures import of_error
from policyd.pdp.showing import Step, is_masked, listed_scopes, steps
from policyd.program.trace import Seen, Trace
from policyd.tokens.model import RESPONSE_MEMO, VerifiedToken


def answer(decided: Decided) -> Answer:
    """Return the answer of a decision."""
    decision, decision_id = decided
    token, until = decision.token, decision.cacheable_until
    # Not by its `__init__`: that of a frozen dataclass takes as long as the decision itself.
    made = object.__new__(Answer)
    made.__dict__.update(
        allowed=decision.allowed,
        reason=decision.reason.value,
        message=decision.message,
        rules=decision.rules,
        rules_truncated=decision.rules_truncated,
        missing_scopes=decision.missing_scopes,
        http_status=decision.http_status,
        www_authenticate=decision.www_authenticate,
        retry_after_seconds=decision.retry_after or 0,
        dpop_nonce=decision.dpop_nonce,
        subject=None if token is None else _subject(token),
        decision_id=decision_id,
        policy_revision=decision.revision,
        cacheable_until=None if until is None else _moment(until),
        search_stopped=decision.search_stopped,
        unknown_facts=decision.unknown_facts,
        policy_commit=decision.commit,
    )
    return made


@lru_cache(4)
def _moment(seconds: int) -> datetime:
    """Return a moment; answers of one second tell the same."""
    return datetime.fromtimestamp(seconds, UTC)


def _subject(token: VerifiedToken) -> Subject:
    """Return whom a token names; the same object for the same token."""
    known = token.memo[RESPONSE_MEMO]
    if type(known) is Subject:
        return known
    scopes = listed_scopes(token.scopes)
    subject = Subject(
        token.subject or "",
        token.issuer,
        token.client or "",
        token.kind,
        tuple(scopes),
        len(scopes) < len(token.scopes),
        datetime.fromtimestamp(token.expires_at, UTC),
        token.actor or "",
    )
    token.memo[RESPONSE_MEMO] = subject
    return subject


def partial_answer(decided: Decided) -> PartialAnswer:
    """Return the answer to a question with unknown facts."""
    partial = decided[0].partial
    assert partial is not None, "a partial question gets a partial answer"
    return PartialAnswer(partial.outcome, partial.depends_on, partial.stopped, answer(decided))


def item_answer(item: DecidedItem) -> Answer | AuthorizationFailed:
    """Return the answer to an item of a batch, or why there is none."""
    return _mistake(item) if isinstance(item, InvalidRequest) else answer(item)


def partial_item_answer(item: DecidedItem) -> PartialAnswer | AuthorizationFailed:
    """Return the answer to an item of a batch with unknown facts, or why there is none."""
    return _mistake(item) if isinstance(item, InvalidRequest) else partial_answer(item)


def _mistake(error: NoDecision) -> AuthorizationFailed:
    told = of_error(error)
    return AuthorizationFailed(told.code.name, told.message, told.reason)


def refuse(error: NoDecision) -> NoReturn:
    """Fail a call on which there is no decision. Raises `CallFailed`."""
    told = of_error(error)
    raise CallFailed(told.code, told.message, reason=told.reason) from None


def failed(error: CallFailed) -> AuthorizationFailed:
    """Return what a service is told of a call that failed."""
    return AuthorizationFailed(error.code.name, error.message, error.reason)


def explanation(explained: Explained, mask: Mask) -> Explanation:
    """Return how a decision came about, without what `mask` withholds."""
    found, decision_id = explained
    step_up = found.step_up
    return Explanation(
        answer=answer((found.decision, decision_id)),
        rules=tuple(
            ExplainedRule(
                one.rule.name,
                one.rule.effect,
                one.applies,
                one.value,
                _steps(one.trace, one.rule.source, mask),
                one.rule.source.name,
                one.rule.source.position(one.rule.span.start).line,
            )
            for one in found.traces.rules
        ),
        conditions=tuple(
            ExplainedCondition(
                one.name,
                one.value,
                _steps(one.trace, one.source, mask),
                one.source.name,
                one.source.position(one.trace.span.start).line,
            )
            for one in found.traces.conditions
        ),
        ignored_attributes=found.ignored_attributes,
        ignored_context=found.ignored_context,
        missing_scope_alternatives=tuple(tuple(one) for one in found.missing_scopes.sets),
        alternatives_truncated=found.missing_scopes.stopped,
        step_up=None if step_up is None else StepUp(step_up.acr_values, step_up.max_age),
        detail=Projection(mask).detail(found.decision),
    )


def _steps(trace: Trace, source: Source, mask: Mask) -> tuple[TraceStep, ...]:
    return tuple(_step(one, mask) for one in steps(trace, source, mask))


def _step(step: Step, mask: Mask) -> TraceStep:
    return TraceStep(
        step.depth, step.text, step.value, step.condition, tuple(_facts(step.facts, mask))
    )


def _facts(seen: Iterable[Seen], mask: Mask) -> Iterable[SeenFact]:
    for one in seen:
        masked = is_masked(one, mask)
        shown = None if masked or one.state == "missing" or one.obstacle else one.value
        yield SeenFact(one.fact.path, one.state, shown, masked)
