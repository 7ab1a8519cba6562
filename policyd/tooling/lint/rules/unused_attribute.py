"""An attribute that no rule on its resource reads, or that is declared for an action whose rules do
not read it. Resources without rules are left to P3006."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator

from policyd.language import nodes, walks
from policyd.tooling.lint.model import Finding, LintRule, View, label_of


def check(view: View) -> Iterator[Finding]:
    read: defaultdict[str, defaultdict[str, set[str]]] = defaultdict(lambda: defaultdict(set))
    for rule in view.api.rules:
        for fact in walks.facts(rule.formula):
            read[rule.resource][fact.path].update(rule.actions)
        read[rule.resource]  # there is a rule on it
    for declared in view.declarations(nodes.Resource):
        resource = declared.node.name.text
        if resource not in read:
            continue
        for field in declared.node.fields:
            name = field.name.text
            readers = read[resource].get(f"resource.{name}")
            if readers is None:
                yield Finding(
                    f"no rule on `{resource}` reads the attribute `{name}`",
                    label_of(declared.source, field.name),
                    "callers pass it without effect: use it in a rule, or remove it",
                )
                continue
            for action in field.actions:
                if action.text not in readers:
                    yield Finding(
                        f"no rule for `{action.text}` on `{resource}` reads the attribute `{name}`",
                        label_of(declared.source, action),
                        "callers pass it without effect: remove the action from its declaration",
                    )


RULE = LintRule("P3024", check)
