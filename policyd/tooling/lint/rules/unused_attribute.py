"""An attribute that no rule on its resource reads. Resources without rules are left to P3006."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from policyd.language import nodes, policy
from policyd.tooling.lint.model import Finding, LintRule, View, label_of


def check(view: View) -> Iterator[Finding]:
    read: defaultdict[str, set[str]] = defaultdict(set)
    for rule in view.api.rules:
        read[rule.resource].update(fact.path for fact in policy.facts(rule.formula))
    for declared in view.declarations(nodes.Resource):
        resource = declared.node.name.text
        if resource not in read:
            continue
        for field in declared.node.fields:
            if f"resource.{field.name.text}" not in read[resource]:
                yield Finding(
                    f"no rule on `{resource}` reads the attribute `{field.name.text}`",
                    label_of(declared.source, field.name),
                    "callers pass it without effect: use it in a rule, or remove it",
                )


RULE = LintRule("P3024", check)
