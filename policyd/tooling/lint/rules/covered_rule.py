"""A rule that adds nothing, because another does the same under no more conditions.

An `allow` is covered by one whose conditions are among its own; a `deny` only by one with the same
conditions, since a narrower one may say better why.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping, Sequence

import msgspec

from policyd.analysis.formulas import Keys
from policyd.tooling.lint.model import Finding, LintRule, View, WrittenRule


class _Candidate(msgspec.Struct, frozen=True):
    rule: WrittenRule
    asked: frozenset[int]

    def covers(self, other: _Candidate) -> bool:
        """Whether this rule applies wherever the other does."""
        asked = (
            self.asked <= other.asked
            if self.rule.checked.effect == "allow"
            else self.asked == other.asked
        )
        return asked and set(self.rule.checked.actions) >= set(other.rule.checked.actions)


def check(view: View) -> Iterator[Finding]:
    keys = Keys()
    groups: defaultdict[tuple[str, str], list[_Candidate]] = defaultdict(list)
    for rule in view.rules:
        candidate = _Candidate(rule, keys.conjuncts(rule.checked.formula))
        groups[rule.checked.effect, rule.checked.resource].append(candidate)
    for group in groups.values():
        yield from _covered(group)


def _covered(group: Sequence[_Candidate]) -> Iterator[Finding]:
    """Each rule is filed under the rarest of its conditions, so that few pairs are compared."""
    common = Counter(number for one in group for number in one.asked)
    filed: defaultdict[int | None, list[int]] = defaultdict(list)
    for index, one in enumerate(group):
        filed[_rarest(one, common)].append(index)
    for index, one in enumerate(group):
        for other in sorted(i for number in (None, *one.asked) for i in filed[number]):
            # Of two that cover each other, the second is the one too many.
            if other == index or not group[other].covers(one):
                continue
            if index < other and one.covers(group[other]):
                continue
            yield _finding(one.rule, group[other].rule)
            break


def _rarest(one: _Candidate, common: Mapping[int, int]) -> int | None:
    return min(one.asked, key=lambda number: (common[number], number), default=None)


def _finding(rule: WrittenRule, other: WrittenRule) -> Finding:
    effect, name, by = rule.checked.effect, rule.checked.name, other.checked.name
    return Finding(
        f"{effect} `{name}` adds nothing to `{by}`",
        rule.name_label,
        f"wherever `{name}` applies, `{by}` does: remove one of them"
        + (f", or narrow `{by}`" if effect == "allow" else ""),
        (other.label(other.node.name.span, "this one applies already"),),
    )


RULE = LintRule("P3008", check)
