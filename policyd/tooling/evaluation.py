"""One decision as text or JSON, for `policyd eval`."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from policyd.decision.explain import Explanation
from policyd.diagnostics import Source
from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json
from policyd.program.trace import Trace
from policyd.tooling.traces import trace_lines


def decision_text(explanation: Explanation, *, trace: bool) -> str:
    """Return the decision for a person, with `trace` all rules that were looked at."""
    lines = [_line(*pair) for pair in _facts(explanation)]
    if trace:
        lines += ["", *trace_lines(explanation.traces, explanation.traces.rules)]
    return "".join(f"{line}\n" for line in lines)


def _line(name: str, text: str) -> str:
    return f"{name + ':':<18}{printable(text)}"


def _facts(explanation: Explanation) -> Iterator[tuple[str, str]]:
    decision = explanation.decision
    partial = decision.partial
    if partial is None:
        yield "decision", "allow" if decision.allowed else "deny"
    else:
        yield "decision", partial.outcome
        if partial.depends_on:
            yield "depends on", ", ".join(partial.depends_on)
    yield "reason", decision.reason
    for name, text in (("message", decision.message), ("detail", decision.detail)):
        if text:
            yield name, text
    if decision.rules:
        more = " …" if decision.rules_truncated else ""
        yield "rules", ", ".join(decision.rules) + more
    for scopes in explanation.missing_scopes.sets:
        yield "missing scopes", " ".join(scopes)
    if explanation.missing_scopes.stopped:
        yield "missing scopes", "… and perhaps more"
    if explanation.step_up is not None:
        yield "step-up", _step_up(explanation)
    if explanation.ignored_attributes:
        yield "ignored", f"undeclared attributes: {', '.join(explanation.ignored_attributes)}"
    if explanation.ignored_context:
        yield "ignored", f"undeclared context: {', '.join(explanation.ignored_context)}"
    yield "HTTP status", str(decision.http_status)
    if decision.www_authenticate:
        yield "WWW-Authenticate", decision.www_authenticate
    yield "revision", decision.revision


def _step_up(explanation: Explanation) -> str:
    login = explanation.step_up
    assert login is not None  # asked for only where there is one
    said = [f"acr {' or '.join(login.acr_values)}"] if login.acr_values else []
    if login.max_age is not None:
        said.append(f"a login at most {login.max_age} s ago")
    return ", ".join(said) or "another login"


def decision_json(explanation: Explanation, *, trace: bool) -> bytes:
    """Return the decision as one JSON object, with `trace` all rules that were looked at."""
    decision = explanation.decision
    document: dict[str, Json] = {
        "allowed": decision.allowed,
        "reason": str(decision.reason),
        "message": decision.message,
        "detail": decision.detail,
        "api": decision.api,
        "rules": list(decision.rules),
        "rules_truncated": decision.rules_truncated,
        "missing_scopes": [list(scopes) for scopes in explanation.missing_scopes.sets],
        "ignored_attributes": list(explanation.ignored_attributes),
        "ignored_context": list(explanation.ignored_context),
        "http_status": decision.http_status,
        "www_authenticate": decision.www_authenticate,
        "revision": decision.revision,
    }
    partial = decision.partial
    if partial is not None:
        document |= {
            "outcome": partial.outcome,
            "assumed_unknown": list(partial.assumed),
            "depends_on": list(partial.depends_on),
            "search_stopped": partial.stopped,
        }
    if trace:
        document["trace"] = {
            "rules": [
                {
                    "name": rule.rule.name,
                    "effect": rule.rule.effect,
                    "applies": rule.applies,
                    "condition": _trace(rule.trace, rule.rule.source),
                }
                for rule in explanation.traces.rules
            ],
            "conditions": {
                condition.name: _trace(condition.trace, condition.source)
                for condition in explanation.traces.conditions
            },
        }
    return encode_json(document)


def _trace(trace: Trace, source: Source) -> dict[str, Json]:
    value: dict[str, Json] = {"kind": trace.kind, "value": trace.value}
    if trace.kind in ("test", "some"):
        value["text"] = source.text[slice(*trace.span)]
    if trace.parts:
        value["parts"] = [_trace(part, source) for part in trace.shown]
    if trace.name:
        value["name"] = trace.name
    if trace.seen:
        value["facts"] = {
            seen.fact.path: {
                "state": seen.state,
                "value": msgspec.json.decode(msgspec.json.encode(seen.value)),
            }
            for seen in trace.seen
        }
    return value
