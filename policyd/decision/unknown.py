"""Why a deny applied though nobody knows whether its condition is true.

A deny applies unless its condition is false (docs/semantics.md). Where it is unknown, the caller
and the log are told which facts it lacked: often a service forgot an attribute, or an issuer a
claim.

A conjunction that applies is unknown exactly if one of its tests is: so a look at the slots tells
all, and the slots of the denies that decided once are remembered. Of other conditions the
interpreter traces those that read something unknown, as for an explanation, as long as the call's
`Effort` lasts.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator, Mapping, Sequence
from operator import attrgetter
from typing import Final, assert_never

from policyd.decision.effort import Effort, EffortSpent
from policyd.decision.question import Question
from policyd.language import policy, walks
from policyd.language.policy import Api
from policyd.program.index import Needs, Plan
from policyd.program.interpreter import Asked, World, interpret
from policyd.program.trace import Trace, Traces

#: What an answer calls the kind of the subject, which is no fact with a name.
KIND: Final = "subject"
#: Steps that it takes to trace a part of a condition, about.
_TRACING: Final = 32
#: How many sets of denies a plan remembers, beside one for each rule: mostly one deny decides.
_REMEMBERED: Final = 256
#: The tests of a conjunction; of a longer one the interpreter tells.
_LONGEST: Final = 256


def needs_of(plan: Plan, denies: tuple[str, ...]) -> Needs:
    """Return what these denies of a plan need to know, remembered."""
    needs = plan.needs.get(denies)
    if needs is None:
        if len(plan.needs) >= _REMEMBERED + len(plan.rules):
            plan.needs.clear()
        needs = plan.needs[denies] = _needs(plan, denies)
    return needs


def lacking(needs: Needs, question: Question) -> tuple[str, ...]:
    """Return the facts that are missing or ill-typed and make some conjunction among the denies
    unknown, sorted; none where each of them is true. Every deny pays for this."""
    found: list[str] = []
    token, resource, context = question.token, question.resource, question.context
    for slot, path in needs.token:
        if token[slot] is None:
            found.append(path)
    for slot, path in needs.resource:
        if resource[slot] is None:
            found.append(path)
    for slot, path in needs.context:
        if context[slot] is None:
            found.append(path)
    return tuple(sorted(set(found))) if len(found) > 1 else tuple(found)


def lacking_anywhere(
    needs: Needs, question: Question, api: Api, world: World, effort: Effort
) -> tuple[str, ...]:
    """Return as `lacking` does what any of the denies lacked; `world` is the question as it was
    asked. Where the budget does not last, some may lack."""
    found = [*lacking(needs, question)]
    facts = (question.token, question.resource, question.context)
    for rule, slots, parts in needs.others:
        if not slots or any(facts[group][slot] is None for group, slot in slots):
            try:
                effort.spend(_TRACING * parts)
            except EffortSpent:
                break
            # Mostly another part is true, and that costs less to find out than a trace.
            if not _comes_to(rule.formula, True, Asked(api, world, rule.resource), {}):
                found += _causes(interpret(api, (rule,), world))
    return tuple(sorted(set(found)))


def _comes_to(
    formula: policy.Formula, truth: bool, asked: Asked, known: dict[tuple[int, bool], bool]
) -> bool:
    """Tell whether a formula is known to come to `truth`, without a look at lists; `known` is what
    was found out of its parts."""
    key = (id(formula), truth)
    answer = known.get(key)
    if answer is None:
        match formula:
            case policy.All(operands=operands) | policy.AnyOf(operands=operands):
                parts = (_comes_to(operand, truth, asked, known) for operand in operands)
                answer = all(parts) if isinstance(formula, policy.All) is truth else any(parts)
            case policy.Not(operand=operand):
                answer = _comes_to(operand, not truth, asked, known)
            case policy.NamedCondition(formula=inner):
                answer = _comes_to(inner, truth, asked, known)
            case policy.HasSome():
                answer = False
            case policy.Leaf():
                answer = asked.truth(formula) is truth
            case _:
                assert_never(formula)
        known[key] = answer
    return answer


def _needs(plan: Plan, denies: Sequence[str]) -> Needs:
    """Return what these denies need to know, each of which is found by name."""
    plain: tuple[set[tuple[int, str]], ...] = (set(), set(), set())
    others = []
    for name in denies:
        rule = plan.rules[bisect_left(plan.rules, name, key=attrgetter("name"))]
        tests = _conjuncts(rule.formula)
        if tests is not None:
            for test in tests:
                for place, fact in plan.needed_by(test):
                    plain[place.group].add((place.slot, KIND if fact is None else fact.path))
        else:
            parts = list(walks.walk(rule.formula))
            leaves = (one for one in parts if isinstance(one, policy.Leaf))
            slots = {place for test in leaves for place, _ in plan.needed_by(test)}
            # Of the elements of lists no slot tells.
            of_elements = any(isinstance(one, policy.HasSome) for one in parts)
            others.append((rule, () if of_elements else tuple(sorted(slots)), len(parts)))
    token, resource, context = (tuple(sorted(slots)) for slots in plain)
    return Needs(token, resource, context, tuple(others))


def _conjuncts(formula: policy.Formula) -> list[policy.Test] | None:
    """Return the tests of a formula that all have to be known, `None` if it is no conjunction."""
    found: list[policy.Test] = []
    waiting = [(formula, True)]
    while waiting:
        one, positive = waiting.pop()
        match one:
            case policy.All(operands=operands) if positive:
                waiting.extend((operand, True) for operand in operands)
            case policy.AnyOf(operands=operands) if not positive:
                waiting.extend((operand, False) for operand in operands)
            case policy.Not(operand=operand):
                waiting.append((operand, not positive))
            case policy.NamedCondition(formula=inner):
                waiting.append((inner, positive))
            case policy.Leaf():
                found.append(one)
            case policy.All() | policy.AnyOf() | policy.HasSome():
                return None
            case _:
                assert_never(one)
        if len(found) + len(waiting) > _LONGEST:
            return None
    return found


def _causes(traces: Traces) -> Iterator[str]:
    """Yield the facts that the unknown tests of an unknown condition lacked."""
    conditions: Mapping[str, Trace] = {one.name: one.trace for one in traces.conditions}
    waiting = [traces.rules[0].trace]
    seen: set[str] = set()
    while waiting:
        one = waiting.pop()
        if one.value is not None:
            continue
        if one.kind == "condition":
            if one.name not in seen:
                seen.add(one.name)
                waiting.append(conditions[one.name])
        elif one.kind in ("test", "some"):
            lacking = [fact.fact.path for fact in one.seen if fact.state != "known"]
            # Of a list that is known, some element lacks a field.
            yield from lacking or [fact.fact.path for fact in one.seen] or [KIND]
        if one.kind != "some":
            waiting.extend(one.parts)
