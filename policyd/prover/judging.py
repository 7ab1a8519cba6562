"""Asks the interpreter and the compiled program for the answer to a witness, independently of the
encoding and the solver."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Literal as OneOf
from typing import NamedTuple

import msgspec

from policyd.language.policy import PolicySet, Rule
from policyd.language.types import Fact
from policyd.program.compiler import compile_policies
from policyd.program.fields import FieldFault
from policyd.program.index import ApiProgram
from policyd.program.interpreter import World, interpret
from policyd.program.trace import RuleTrace, Trace
from policyd.prover.universe import Side
from policyd.tokens.refusals import TokenRefused

#: An answer, including a refused token and a mistake of the caller.
Outcome = OneOf["allow", "deny", "refused", "mistake"]


class Applying(NamedTuple):
    """The names of the rules that decide: denies, or else allows."""

    denies: frozenset[str]
    allows: frozenset[str]

    @classmethod
    def of(cls, rules: Iterable[Rule]) -> Applying:
        """Return the applicable ones of some rules."""
        rules = list(rules)
        return cls.deciding(
            (rule.name for rule in rules if rule.effect == "deny"),
            (rule.name for rule in rules if rule.effect == "allow"),
        )

    @classmethod
    def deciding(cls, denies: Iterable[str], allows: Iterable[str]) -> Applying:
        """Return the deciding denies and allows: if a deny applies, no allow decides."""
        denies = frozenset(denies)
        return cls(denies, frozenset() if denies else frozenset(allows))

    def and_also(self, other: Applying) -> Applying:
        """Return the rules that decide together with those of another."""
        return Applying.deciding(self.denies | other.denies, self.allows | other.allows)

    def judgement(self, *, agreed: bool) -> Judgement:
        """Return the answer of these rules."""
        outcome: Outcome = "allow" if self.allows and not self.denies else "deny"
        return Judgement(outcome, tuple(sorted(self.denies or self.allows)), agreed)


class Judgement(NamedTuple):
    """The answer to a question, and the rules that decided.

    `agreed` is whether both evaluators agree.
    """

    outcome: Outcome
    rules: tuple[str, ...]
    agreed: bool


def judge(side: Side, rules: Sequence[Rule], world: World) -> Judgement:
    """Answer a question by both evaluators."""
    evaluators = Evaluators(side, rules)
    verdict = evaluators.compiled(world)
    if not isinstance(verdict, Applying):
        return Judgement(verdict, (), agreed=True)
    return verdict.judgement(agreed=verdict == Applying.of(evaluators.interpreted(world)))


class Evaluators:
    """Both evaluators, for some rules of a side. The rules are compiled once, when first needed."""

    def __init__(self, side: Side, rules: Sequence[Rule]) -> None:
        self.side = side
        self._rules = rules
        self._made: ApiProgram | None = None

    @property
    def _program(self) -> ApiProgram:
        if self._made is None:
            side = self.side
            resource = msgspec.structs.replace(side.resource, actions=(side.action,))
            api = msgspec.structs.replace(
                side.api,
                resources={resource.name: resource},
                rules=tuple(
                    msgspec.structs.replace(rule, actions=(side.action,)) for rule in self._rules
                ),
                routes=(),
            )
            self._made = compile_policies(PolicySet({api.name: api}, "")).apis[api.name]
        return self._made

    def interpreted(self, world: World) -> list[Rule]:
        """Return the rules that apply, allows beside denies too, by the interpreter."""
        traces = interpret(self.side.api, self._rules, world)
        return [one.rule for one in traces.rules if one.applies]

    def compiled(self, world: World) -> Applying | Outcome:
        """Return the rules that decide by the compiled program, or the answer if it asks no
        rules."""
        program, token = self._program, world.token
        plan = program.resources[self.side.resource.name].plans[self.side.action]
        if token.audience and token.audience.isdisjoint(self.side.api.audiences):
            return "refused"
        try:
            facts = program.token.read(token)
            if program.token.userinfo is not None:
                facts += program.token.userinfo.read(world.userinfo, token)
        except TokenRefused:
            return "refused"
        try:
            attributes = plan.read_resource((world.resource_id or None,), world.attributes)
            context = program.context.read((), world.context)
        except FieldFault:
            return "mistake"
        denies, allows = plan.evaluate(facts, attributes, context, world.now)
        return Applying.deciding(denies, allows)


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
