"""A rule that changes no decision, whatever token and request there are: proven by the solver.

An `allow` is useless if whatever it allows is denied, or allowed by another; a `deny`, if nothing
that it denies would be allowed without it. It finds what the search for equal conditions does not:
numbers, sets and texts are compared by what they mean.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Final, Self

from policyd.language.policy import Rule
from policyd.prover.questions import Question
from policyd.prover.solver import Session, SolverMissing
from policyd.prover.universe import Side
from policyd.tooling.lint.model import Finding, LintRule, View, WrittenRule

#: Conflicts for one rule and action, and rules of one action that are looked at.
_CONFLICTS: Final = 2_000
_MOST: Final = 300


def check(view: View) -> Iterator[Finding]:
    plans: defaultdict[tuple[str, str], list[Rule]] = defaultdict(list)
    for rule in view.api.rules:
        for action in rule.actions:
            plans[rule.resource, action].append(rule)
    with ExitStack() as opened:
        try:
            asked = {
                (resource, action): opened.enter_context(
                    _Plan(Side(view.api, view.api.resources[resource], action), rules)
                )
                for (resource, action), rules in plans.items()
                if len(rules) <= _MOST
            }
        except SolverMissing:  # promises say so, where there are any
            return
        yield from _found(view, asked)


def _found(view: View, asked: Mapping[tuple[str, str], _Plan]) -> Iterator[Finding]:
    """Look at one rule after another. One that is useless is left out from then on: of two that
    are the same, one is not."""
    by_name: defaultdict[str, list[Rule]] = defaultdict(list)
    for rule in view.api.rules:
        by_name[rule.name].append(rule)
    written = {one.checked.name: one for one in view.rules}
    for name, rules in sorted(by_name.items(), reverse=True):
        pairs = [
            (rule, asked.get((rule.resource, action))) for rule in rules for action in rule.actions
        ]
        verdicts = [None if plan is None else plan.is_useless(rule) for rule, plan in pairs]
        if False in verdicts:
            continue
        if None in verdicts:
            yield _undecided(written[name])
            continue
        for rule, plan in pairs:
            if plan is not None:
                plan.leave_out(rule)
        yield _finding(written[name])


class _Plan:
    """The rules for one action on one resource."""

    def __init__(self, side: Side, rules: Sequence[Rule]) -> None:
        question = Question([(side, rules)])
        (opened,) = question.opened
        self._truths = {id(one): opened.formulas.of(one.formula) for one in rules}
        question.close()
        circuit = question.circuit
        reached = circuit.all((opened.token, opened.request))
        self._left = {id(one): one for one in rules}
        self._session = Session([*circuit.clauses, (reached,)], _CONFLICTS)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._session.__exit__()

    def leave_out(self, rule: Rule) -> None:
        """Leave a rule out from now on."""
        self._left.pop(id(rule), None)

    def is_useless(self, rule: Rule) -> bool | None:
        """Tell whether nothing is decided otherwise without a rule; `None` is undecided."""
        own = self._truths[id(rule)]
        others = [one for one in self._left.values() if one is not rule]
        wanted = [self._truths[id(one)].fails for one in others if one.effect == "deny"]
        allows = [self._truths[id(one)].holds for one in others if one.effect == "allow"]
        if rule.effect == "allow":
            return self._session.verdict([own.holds, *wanted, *(-one for one in allows)])
        verdicts = [self._session.verdict([-own.fails, *wanted, one]) for one in allows]
        if False in verdicts:
            return False
        return None if None in verdicts else True


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
