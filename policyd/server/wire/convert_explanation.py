"""Explanations to protobuf: the half of `convert` that only `explanation` needs.

Input: the engine's explanation and the mask. Output: the bytes of an ExplainResponse. A tree of
conditions becomes a list with depths: trees may be deeper than protobuf lets messages nest.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

from google.protobuf.struct_pb2 import NULL_VALUE, ListValue, Struct, Value

from policyd.audit import Mask, Projection
from policyd.decision.explain import Explanation
from policyd.diagnostics import Source
from policyd.json_types import Json
from policyd.pdp.showing import is_masked, steps
from policyd.program.trace import ConditionTrace, RuleTrace, Seen, Trace
from policyd.server.wire.convert_response import check_response
from policyd.v1 import explanation_pb2 as messages

_TRUTH = {
    True: messages.TRUTH_TRUE,
    False: messages.TRUTH_FALSE,
    None: messages.TRUTH_UNKNOWN,
}
_EFFECT = {"allow": messages.EFFECT_ALLOW, "deny": messages.EFFECT_DENY}
_STATE = {
    "known": messages.SeenFact.STATE_KNOWN,
    "missing": messages.SeenFact.STATE_MISSING,
    "ill-typed": messages.SeenFact.STATE_ILL_TYPED,
}


def explain_response(explained: tuple[Explanation, str], mask: Mask) -> bytes:
    """Write an ExplainResponse of an explanation and its decision's identifier."""
    explanation, decision_id = explained
    message = messages.ExplainResponse()
    message.response.ParseFromString(check_response((explanation.decision, decision_id)))
    for rule in explanation.traces.rules:
        _put_rule(message.rules.add(), rule, mask)
    for condition in explanation.traces.conditions:
        _put_condition(message.conditions.add(), condition, mask)
    message.ignored_attributes.extend(explanation.ignored_attributes)
    message.ignored_context.extend(explanation.ignored_context)
    for scopes in explanation.missing_scopes.sets:
        message.missing_scope_alternatives.add(scopes=scopes)
    message.alternatives_truncated = explanation.missing_scopes.stopped
    if explanation.step_up is not None:
        message.step_up.acr_values.extend(explanation.step_up.acr_values)
        if explanation.step_up.max_age is not None:
            message.step_up.max_age_seconds = explanation.step_up.max_age
    message.detail = Projection(mask).detail(explanation.decision)
    return message.SerializeToString()


def _put_rule(message: messages.RuleExplanation, rule: RuleTrace, mask: Mask) -> None:
    message.rule = rule.rule.name
    message.effect = _EFFECT[rule.rule.effect]
    message.applies = rule.applies
    message.value = _TRUTH[rule.value]
    message.steps.extend(_steps(rule.trace, rule.rule.source, mask))
    message.location.CopyFrom(_location(rule.rule.source, rule.rule.span.start))


def _put_condition(
    message: messages.ConditionExplanation, condition: ConditionTrace, mask: Mask
) -> None:
    message.condition = condition.name
    message.value = _TRUTH[condition.value]
    message.steps.extend(_steps(condition.trace, condition.source, mask))
    message.location.CopyFrom(_location(condition.source, condition.trace.span.start))


def _location(source: Source, offset: int) -> messages.Location:
    return messages.Location(file=source.name, line=source.position(offset).line)


def _steps(trace: Trace, source: Source, mask: Mask) -> Iterator[messages.TraceStep]:
    for step in steps(trace, source, mask):
        yield messages.TraceStep(
            depth=step.depth,
            text=step.text,
            value=_TRUTH[step.value],
            condition=step.condition,
            facts=[_fact(seen, mask) for seen in step.facts],
        )


def _fact(seen: Seen, mask: Mask) -> messages.SeenFact:
    message = messages.SeenFact(path=seen.fact.path, state=_STATE[seen.state])
    if is_masked(seen, mask):
        message.masked = True
    elif seen.state != "missing":
        if seen.obstacle:
            message.obstacle = seen.obstacle
        else:
            message.value.CopyFrom(_value(seen.value))
    return message


def _value(json: Json) -> Value:
    if json is None:
        return Value(null_value=NULL_VALUE)
    if isinstance(json, bool):
        return Value(bool_value=json)
    if isinstance(json, str):
        return Value(string_value=json)
    if isinstance(json, int | float):
        return _number(json)
    if isinstance(json, list):
        return Value(list_value=ListValue(values=[_value(entry) for entry in json]))
    return Value(struct_value=Struct(fields={name: _value(entry) for name, entry in json.items()}))


def _number(number: float) -> Value:
    """A claim may hold a whole number that no double is equal to; it is shown as text."""
    try:
        double = float(number)
    except OverflowError:
        return Value(string_value=str(number))
    if double != number or not math.isfinite(double):
        return Value(string_value=str(number))
    return Value(number_value=double)
