"""A `deny` that also holds where an optional value that it looks for is missing.

A `deny` applies if its condition is unknown. Under `not` and `unless` authors expect that: a caller
who is not known to be excepted is denied. Elsewhere it is a surprise: a list of blocked groups
denies every token without groups.
"""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import (
    FALSE,
    UNKNOWN,
    Part,
    Truths,
    is_unequal,
    parts,
    possible,
)
from policyd.language import policy
from policyd.language.types import RESOURCE_ID, TOKEN_FACTS, Fact
from policyd.language.walks import own_facts
from policyd.tooling.lint.model import Finding, LintRule, View

#: What tokens of a kind that an API accepts often lack.
_OFTEN_MISSING = frozenset(TOKEN_FACTS[name] for name in ("acr", "amr", "auth_time", "actor"))


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        if rule.checked.effect == "allow":
            continue
        optional = _optional(view, rule.checked.resource)
        reported: set[Fact] = set()
        for part in parts(rule.checked):
            for fact in _looked_for(part):
                if fact in reported or fact not in optional:
                    continue
                reported.add(fact)
                if None in possible(rule.checked.formula, _without(fact), rule.checked.source):
                    yield Finding(
                        f"deny `{rule.checked.name}` also holds where `{fact.path}` is missing",
                        part.label,
                        f"add `{fact.path} is present and …`, if what lacks it is not to be denied",
                        (rule.as_reader,),
                    )


def _optional(view: View, resource: str) -> frozenset[Fact]:
    declared = (*view.api.context, *view.api.resources[resource].attributes)
    return frozenset(
        {
            RESOURCE_ID,
            *_OFTEN_MISSING,
            *(claim.fact for claim in view.api.claims.values() if claim.may_be_missing),
            *(claim.fact for claim in view.api.userinfo.values() if claim.may_be_missing),
            *(one.fact for one in declared if one.optional),
        }
    )


def _looked_for(part: Part) -> tuple[Fact, ...]:
    """The facts of an atom that holds the `deny` when it is unknown."""
    if not part.positive or isinstance(part.formula, policy.Present):
        return ()
    return _atom(part.formula)


def _atom(formula: policy.Formula) -> tuple[Fact, ...]:
    if is_unequal(formula):
        assert isinstance(formula, policy.Not)
        return own_facts(formula.operand)
    return own_facts(formula)


def _without(fact: Fact) -> _Without:
    return _Without(fact)


class _Without:
    """What the parts of a formula are where a fact is missing."""

    def __init__(self, fact: Fact) -> None:
        self._fact = fact

    def __call__(self, part: Part) -> Truths | None:
        if self._fact not in _atom(part.formula):
            return None
        if isinstance(part.formula, policy.Present):
            return FALSE
        # Under a negation, the author means to deny callers who are not known to be excepted.
        return UNKNOWN if part.positive else FALSE


RULE = LintRule("P3004", check)
