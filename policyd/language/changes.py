"""What changed between two policy sets, rule by rule: by their texts, whatever they mean."""

from __future__ import annotations

import msgspec

from policyd.language.policy import PolicySet, Rule

#: A rule: its API, and its name there.
RuleName = tuple[str, str]


class RuleChanges(msgspec.Struct, frozen=True):
    """The rules that were added, removed, and that have another text; each in order."""

    added: tuple[RuleName, ...]
    removed: tuple[RuleName, ...]
    changed: tuple[RuleName, ...]


def rule_changes(old: PolicySet | None, new: PolicySet) -> RuleChanges:
    """Compare the rules of two sets; `old` may be none at all. White space at the ends is none."""
    before = {} if old is None else _rules(old)
    after = _rules(new)
    return RuleChanges(
        tuple(sorted(after.keys() - before.keys())),
        tuple(sorted(before.keys() - after.keys())),
        tuple(sorted(name for name in after.keys() & before.keys() if after[name] != before[name])),
    )


def _rules(policies: PolicySet) -> dict[RuleName, str]:
    """Return the text of each rule; one for several resources has one text."""
    return {
        (api.name, rule.name): rule_text(rule)
        for api in policies.apis.values()
        for rule in api.rules
    }


def rule_text(rule: Rule) -> str:
    """Return the text of a rule, as it stands in its file."""
    return rule.source.text[slice(*rule.span)].strip()
