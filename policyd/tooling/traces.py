"""Traces as text: why a rule applied or not, part by part.

deny sealed: unknown, so it applies
  unknown  and
  true       resource.sealed
  unknown    not
  unknown      strong_login
strong_login
  unknown  token.acr == "urn:example:mfa"   token.acr is missing
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from policyd.diagnostics import Source
from policyd.diagnostics.terminal import printable
from policyd.program.trace import RuleTrace, Seen, Trace, Traces

_SHOWN = 60
_TRUTH = {True: "true", False: "false", None: "unknown"}
_WIDTH = max(map(len, _TRUTH.values()))


def trace_lines(traces: Traces, rules: Iterable[RuleTrace]) -> Iterator[str]:
    """Yield the lines of some of the rules, and of the conditions that they use."""
    used: set[str] = set()
    for rule in rules:
        yield f"{rule.rule.effect} {rule.rule.name}: {_verdict(rule)}"
        yield from _lines(rule.trace, rule.rule.source, 0, used)
    shown: set[str] = set()
    while used - shown:
        for condition in traces.conditions:
            if condition.name in used - shown:
                shown.add(condition.name)
                yield condition.name
                yield from _lines(condition.trace, condition.source, 0, used)


def _verdict(rule: RuleTrace) -> str:
    truth = _TRUTH[rule.value]
    return f"{truth}, so it applies" if rule.applies else f"{truth}, so it does not apply"


def _lines(trace: Trace, source: Source, depth: int, used: set[str]) -> Iterator[str]:
    said: str = trace.kind
    match trace.kind:
        case "condition":
            said = trace.name
            used.add(trace.name)
        case "test":
            said = " ".join(source.text[slice(*trace.span)].split())
        case "some":
            said = f"{trace.seen[0].fact.path} has some"
        case "element":
            said = f"element {trace.name}"
    facts = "; ".join(map(_fact, trace.seen))
    line = f"  {_TRUTH[trace.value]:<{_WIDTH}}  {'  ' * depth}{printable(said)}"
    yield f"{line}   {facts}".rstrip()
    for part in trace.shown:
        yield from _lines(part, source, depth + 1, used)
    alike = sum(1 for part in trace.parts if part.value is trace.value)
    if trace.kind == "some" and alike > len(trace.shown):
        yield f"  {'':<{_WIDTH}}  {'  ' * (depth + 1)}and {alike - len(trace.shown)} more elements"


def _fact(seen: Seen) -> str:
    if seen.state == "missing":
        return f"{seen.fact.path} is missing"
    if seen.obstacle:
        return f"{seen.fact.path} cannot be reached: {printable(seen.obstacle)}"
    value = msgspec.json.encode(seen.value).decode()
    shown = printable(value if len(value) <= _SHOWN else value[: _SHOWN - 1] + "…")
    if seen.state == "ill-typed":
        return f"{seen.fact.path} is {shown}, which is not a value of type {seen.fact.type_name}"
    return f"{seen.fact.path} is {shown}"
