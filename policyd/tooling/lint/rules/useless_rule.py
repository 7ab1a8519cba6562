"""A rule that changes no decision, whatever token and request there are: proven by the solver.

An `allow` is useless if whatever it allows is denied, or allowed by another; a `deny`, if nothing
that it denies would be allowed without it. It finds what the search for equal conditions does not:
numbers, sets and texts are compared by what they mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Sequence
from typing import Final

from policyd.language.policy import Rule
from policyd.prover.questions import Question
from policyd.prover.solver import Session, SolverMissing
from policyd.prover.universe import Side
from policyd.tooling.lint.model import Finding, LintRule, View, WrittenRule

#: Conflicts for one rule and action, and rules of one action that are looked at.
_CONFLICTS: Final = 2_000
_MOST: Final = 300


def check(view: View) -> Iterator[Finding]:
    useful: set[str] = set()
    idle: set[str] = set()
    undecided: set[str] = set()
    plans: defaultdict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in view.api.rules:
        for action in rule.actions:
            plans[rule.resource, action].append(rule)
    for (resource, action), rules in plans.items():
        if len(rules) > _MOST:
            undecided |= {one.name for one in rules}
            continue
        side = Side(view.api, view.api.resources[resource], action)
        for rule, verdict in _verdicts(side, rules):
            (idle if verdict else useful if verdict is False else undecided).add(rule.name)
    said: set[str] = set()
    for written in view.rules:
        name = written.checked.name
        if name in said or name in useful:
            continue
        said.add(name)
        if name in undecided:
            yield _undecided(written)
        elif name in idle:
            yield _finding(written)


def _verdicts(side: Side, rules: Sequence[Rule]) -> Iterator[tuple[Rule, bool | None]]:
    """Tell of each rule whether it is useless for an action; `None` is undecided."""
    question = Question([(side, rules)])
    (opened,) = question.opened
    truths = {id(one): opened.formulas.of(one.formula) for one in rules}
    question.close()
    circuit = question.circuit
    reached = circuit.all((opened.token, opened.request))
    allows = [one for one in rules if one.effect == "allow"]
    denies = [one for one in rules if one.effect == "deny"]
    some = circuit.any(truths[id(one)].holds for one in allows)
    try:
        session = Session([*circuit.clauses, (reached,)], _CONFLICTS)
    except SolverMissing:  # promises say so, where there are any
        return
    with session:
        for rule in rules:
            own = truths[id(rule)]
            others = [one for one in denies if one is not rule]
            wanted = [truths[id(one)].fails for one in others]
            if rule.effect == "allow":
                wanted.append(own.holds)
                wanted += [-truths[id(one)].holds for one in allows if one is not rule]
            else:
                wanted += [-own.fails, some]
            yield rule, session.verdict(wanted)


def _finding(rule: WrittenRule) -> Finding:
    name, effect = rule.checked.name, rule.checked.effect
    why = (
        "all that it allows is allowed by other rules, or denied"
        if effect == "allow"
        else "nothing that it denies would be allowed without it"
    )
    return Finding(
        f"{effect} `{name}` changes no decision",
        rule.name_label,
        "remove it, or change the rule that it was meant to differ from",
        notes=(f"{why}, whatever the token and the request are",),
    )


def _undecided(rule: WrittenRule) -> Finding:
    name, effect = rule.checked.name, rule.checked.effect
    return Finding(
        f"whether {effect} `{name}` changes a decision is undecided",
        rule.name_label,
        "compare fewer facts with each other, or leave this rule of the linter out",
        notes=(
            f"the solver stops after {_CONFLICTS:,} conflicts, and does not look at actions with "
            f"more than {_MOST} rules",
        ),
    )


RULE = LintRule("P3043", check, default=False)
