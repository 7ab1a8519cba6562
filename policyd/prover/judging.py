"""Asks the interpreter and the compiled program for the answer to a witness, independently of the
encoding and the solver."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal as OneOf
from typing import NamedTuple

import msgspec

from policyd.language.policy import PolicySet, Rule
from policyd.language.types import Fact
from policyd.program.compiler import compile_policies
from policyd.program.fields import FieldFault
from policyd.program.interpreter import World, interpret
from policyd.program.trace import RuleTrace, Trace, Traces
from policyd.prover.universe import Side
from policyd.tokens.refusals import TokenRefused

#: An answer, including a refused token and a mistake of the caller.
Outcome = OneOf["allow", "deny", "refused", "mistake"]


class Judgement(NamedTuple):
    """The answer to a question, the rules that decided, and the interpreter's trace.

    `agreed` is whether both evaluators agree.
    """

    outcome: Outcome
    rules: tuple[str, ...]
    traces: Traces
    agreed: bool


def judge(side: Side, rules: Sequence[Rule], world: World) -> Judgement:
    """Answer a question by both evaluators."""
    traces = interpret(side.api, rules, world)
    applying = [one.rule for one in traces.rules if one.applies]
    denies = tuple(rule.name for rule in applying if rule.effect == "deny")
    allows = tuple(rule.name for rule in applying if rule.effect == "allow")
    outcome, verdict = _compiled(side, rules, world)
    if verdict is None:
        return Judgement(outcome, (), traces, agreed=True)
    expected = (sorted(denies), [] if denies else sorted(allows))
    agreed = (sorted(verdict[0]), sorted(verdict[1])) == expected
    return Judgement(outcome, denies or allows, traces, agreed)


def _compiled(
    side: Side, rules: Sequence[Rule], world: World
) -> tuple[Outcome, tuple[list[str], list[str]] | None]:
    """Answer a question by the compiled program, and return its verdict where the rules gave it."""
    resource = msgspec.structs.replace(side.resource, actions=(side.action,))
    api = msgspec.structs.replace(
        side.api,
        resources={resource.name: resource},
        rules=tuple(msgspec.structs.replace(rule, actions=(side.action,)) for rule in rules),
        routes=(),
    )
    program = compile_policies(PolicySet({api.name: api}, "")).apis[api.name]
    plan = program.resources[resource.name].plans[side.action]
    token = world.token
    if token.audience and token.audience.isdisjoint(api.audiences):
        return "refused", None
    try:
        facts = program.token.read(token)
        if program.token.userinfo is not None:
            facts += program.token.userinfo.read(world.userinfo, token)
    except TokenRefused:
        return "refused", None
    try:
        attributes = plan.read_resource((world.resource_id or None,), world.attributes)
        context = program.context.read((), world.context)
    except FieldFault:
        return "mistake", None
    verdict = plan.evaluate(facts, attributes, context, world.now)
    return ("allow" if verdict[1] and not verdict[0] else "deny"), verdict


def unknown_facts(traces: Sequence[RuleTrace]) -> tuple[tuple[Fact, str], ...]:
    """Return the facts that made tests unknown, each with its state."""
    found: dict[Fact, str] = {}

    def look(trace: Trace) -> None:
        for part in trace.parts:
            look(part)
        if trace.value is None:
            for seen in trace.seen:
                if seen.state != "known":
                    found.setdefault(seen.fact, seen.state)

    for traced in traces:
        look(traced.trace)
    return tuple(sorted(found.items(), key=lambda one: one[0].path))
