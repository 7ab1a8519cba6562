"""An `allow` that is never true, because two of the conditions that it joins exclude each other."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from decimal import Decimal

import msgspec

from policyd.analysis.formulas import NEVER, Keys, Part, Truths, conjuncts, possible
from policyd.language import policy
from policyd.language.policy import Formula
from policyd.language.types import Fact, Type
from policyd.language.walks import own_facts
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    keys = Keys()
    for rule in view.rules:
        if rule.checked.effect == "deny":
            continue
        why = why_never_true(rule.checked, keys)
        if why is not None:
            yield Finding(
                f"allow `{rule.checked.name}` can never apply",
                rule.name_label,
                f"{why}: correct the condition, or remove the rule",
            )


def why_never_true(rule: policy.Rule, keys: Keys) -> str | None:
    """Say why a rule's condition is never true; `None` where that cannot be seen."""
    why = _contradiction(conjuncts(rule.formula), keys)
    if why is None and True not in possible(rule.formula, _empty_list, rule.source):
        return "nothing is in an empty list"
    return why


def _empty_list(part: Part) -> Truths | None:
    match part.formula:
        case policy.In(right=policy.Literal(value=())):
            return NEVER
        case policy.HasAny(right=policy.Literal(value=())):
            return NEVER
    return None


def _contradiction(joined: Sequence[Formula], keys: Keys) -> str | None:
    """Why conditions that are joined by `and` are never all true."""
    known = {keys.of(one) for one in joined}
    kinds = {one.kind for one in joined if isinstance(one, policy.SubjectIs)}
    if len(kinds) == 2:
        return "no subject is both user and application"
    missing: set[Fact] = set()
    read: set[Fact] = set()
    wanted: dict[Fact, _Wanted] = {}
    for one in joined:
        negated = isinstance(one, policy.Not)
        inner = one.operand if isinstance(one, policy.Not) else one
        if negated and keys.of(inner) in known:
            return "it requires a condition and its opposite"
        if isinstance(inner, policy.Present):
            missing.update({inner.fact} if negated else ())
            continue
        read.update(own_facts(inner))
        _want(wanted, inner, negated)
    for fact in sorted(missing & read, key=lambda one: one.path):
        return f"a comparison with `{fact.path}` is not true where it is missing"
    for fact, values in sorted(wanted.items(), key=lambda pair: pair[0].path):
        if values.is_empty:
            return f"no value of `{fact.path}` satisfies all comparisons"
    return None


class _Wanted(msgspec.Struct):
    """What a fact may be: one of `values`, if there are any, and between the bounds."""

    values: frozenset[policy.Scalar] | None = None
    least: int | Decimal | None = None
    most: int | Decimal | None = None

    @property
    def is_empty(self) -> bool:
        if self.least is not None and self.most is not None and self.least > self.most:
            return True
        return self.values is not None and not any(map(self._within, self.values))

    def _within(self, value: policy.Scalar) -> bool:
        if not isinstance(value, int | Decimal):
            return True
        return (self.least is None or self.least <= value) and (
            self.most is None or value <= self.most
        )


def _want(wanted: dict[Fact, _Wanted], atom: Formula, negated: bool) -> None:
    """Add what a condition asks of a fact, where it compares it with literals."""
    match atom:
        case policy.Equal(left=Fact() as fact, right=policy.Literal(value=value)) if not negated:
            _one_of(wanted, fact, (value,))
        case policy.Equal(left=policy.Literal(value=value), right=Fact() as fact) if not negated:
            _one_of(wanted, fact, (value,))
        case policy.In(left=Fact() as fact, right=policy.Literal(value=value)) if not negated:
            # Blocks of addresses overlap.
            if fact.type is not Type.IP and isinstance(value, tuple):
                _one_of(wanted, fact, value)
        case policy.Less(left=Fact() as fact, right=policy.Literal(value=int() | Decimal() as to)):
            entry = wanted.setdefault(fact, _Wanted())
            if negated:
                _at_least(entry, _above(to) if atom.or_equal else to)
            else:
                _at_most(entry, to if atom.or_equal else -_above(-to))
        case policy.Less(left=policy.Literal(value=int() | Decimal() as to), right=Fact() as fact):
            entry = wanted.setdefault(fact, _Wanted())
            if negated:
                _at_most(entry, -_above(-to) if atom.or_equal else to)
            else:
                _at_least(entry, to if atom.or_equal else _above(to))


def _above(bound: int | Decimal) -> int | Decimal:
    """Return the next greater value of the type."""
    return bound + Decimal("0.0001") if isinstance(bound, Decimal) else bound + 1


def _one_of(
    wanted: dict[Fact, _Wanted],
    fact: Fact,
    values: tuple[policy.Scalar | tuple[policy.Scalar, ...], ...],
) -> None:
    entry = wanted.setdefault(fact, _Wanted())
    scalars = frozenset(value for value in values if not isinstance(value, tuple))
    entry.values = scalars if entry.values is None else entry.values & scalars


def _at_least(entry: _Wanted, bound: int | Decimal) -> None:
    entry.least = bound if entry.least is None else max(entry.least, bound)


def _at_most(entry: _Wanted, bound: int | Decimal) -> None:
    entry.most = bound if entry.most is None else min(entry.most, bound)


RULE = LintRule("P3007", check)
