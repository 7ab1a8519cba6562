"""Answers and explanations of a running daemon as text and JSON, for `policyd query`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, TypeAlias, cast

from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable

if TYPE_CHECKING:
    from policyd.client import Answer, Explanation, Filter, PartialAnswer, SeenFact, TraceStep
    from policyd.client.filters import Where

_TRUTH = {True: "true", False: "false", None: "unknown"}
_WIDTH = max(map(len, _TRUTH.values()))


#: What a daemon tells: an answer, how it came about, or what is certain of it.
Told: TypeAlias = "Answer | Explanation | PartialAnswer"


def answer_of(told: Told) -> Answer:
    """Return the answer in what was told."""
    inner: Answer | None = getattr(told, "answer", None)
    return cast("Answer", told) if inner is None else inner


def told_json(told: Told) -> str:
    """Return all that was answered."""
    return encode_json(told, indent=2).decode()


def told_text(told: Told) -> str:
    """Return what was answered for a person: how each rule came to its value as `policyd eval
    --trace` does, and on what it depends."""
    from policyd.client import Explanation, PartialAnswer

    if isinstance(told, Explanation):
        return "\n".join((_answer_text(told.answer), *_explained(told)))
    if not isinstance(told, PartialAnswer):
        return _answer_text(told)
    stopped = "the search stopped: it may be certain" if told.search_stopped else ""
    partial = {"depends on": ", ".join(told.depends_on), "note": stopped}
    return _answer_text(told.answer, told.outcome, partial)


def filter_json(made: Filter, where: Where) -> str:
    """Return a filter, and the condition of a query that it is."""
    document = {
        "outcome": made.outcome,
        "where": where.text,
        "parameters": where.parameters,
        "valid_until": made.valid_until,
        "answer": made.answer,
    }
    return encode_json(document, indent=2).decode()


def filter_text(made: Filter, where: Where) -> str:
    """Return the same for a person."""
    until = "" if made.valid_until is None else f"{made.valid_until:%H:%M:%SZ}"
    lines = {
        "outcome": made.outcome,
        "reason": made.answer.reason,
        "message": made.answer.message,
        "where": where.text,
        "parameters": ", ".join(encode_json(str(one)).decode() for one in where.parameters),
        "valid until": until,
        "decision id": made.answer.decision_id,
    }
    return "\n".join(f"{name + ':':18}{printable(value)}" for name, value in lines.items() if value)


def _answer_text(
    answer: Answer, outcome: str = "", partial: Mapping[str, str] = MappingProxyType({})
) -> str:
    """Return the answer for a person, what is empty left out."""
    subject = answer.subject
    lines = {
        "decision": outcome or ("allow" if answer.allowed else "deny"),
        **partial,
        "reason": answer.reason,
        "message": answer.message,
        "rules": ", ".join(answer.rules) + (", …" if answer.rules_truncated else ""),
        "missing scopes": " ".join(answer.missing_scopes),
        "subject": "" if subject is None else f"{subject.subject} at {subject.issuer}",
        "client": "" if subject is None else subject.client,
        "HTTP status": str(answer.http_status),
        "WWW-Authenticate": answer.www_authenticate,
        "Retry-After": str(answer.retry_after_seconds or ""),
        "DPoP-Nonce": answer.dpop_nonce,
        "decision id": answer.decision_id,
        "revision": answer.policy_revision,
        "keep until": ""
        if answer.cacheable_until is None
        else f"{answer.cacheable_until:%H:%M:%SZ}",
    }
    return "\n".join(f"{name + ':':18}{printable(value)}" for name, value in lines.items() if value)


def _explained(explanation: Explanation) -> Iterator[str]:
    if explanation.detail:
        yield f"{'detail:':18}{printable(explanation.detail)}"
    for names, what in (
        (explanation.ignored_attributes, "attributes"),
        (explanation.ignored_context, "context"),
    ):
        if names:
            yield f"{'ignored:':18}undeclared {what}: {printable(', '.join(names))}"
    yield ""
    for rule in explanation.rules:
        verdict = "so it applies" if rule.applies else "so it does not apply"
        place = f"   {rule.file}:{rule.line}" if rule.file else ""
        yield f"{rule.effect} {printable(rule.rule)}: {_TRUTH[rule.value]}, {verdict}{place}"
        yield from _steps(rule.steps)
    for condition in explanation.conditions:
        yield printable(condition.condition)
        yield from _steps(condition.steps)


def _steps(steps: Sequence[TraceStep]) -> Iterator[str]:
    for step in steps:
        facts = "; ".join(map(_fact, step.facts))
        text = printable(" ".join((step.text or step.condition).split()))
        yield f"  {_TRUTH[step.value]:<{_WIDTH}}  {'  ' * step.depth}{text}   {facts}".rstrip()


def _fact(fact: SeenFact) -> str:
    if fact.state == "missing":
        return f"{fact.path} is missing"
    if fact.masked:
        return f"{fact.path} is masked"
    shown = printable(encode_json(fact.value).decode())
    ill = ", which is of another type" if fact.state == "ill-typed" else ""
    return f"{fact.path} is {shown}{ill}"
