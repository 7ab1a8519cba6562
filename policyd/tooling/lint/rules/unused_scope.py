"""A scope that no rule asks for, nor for one that it includes."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import literals
from policyd.language import nodes, policy, walks
from policyd.tooling.lint.clients import asks_scope
from policyd.tooling.lint.model import Finding, LintRule, View, label_of


def check(view: View) -> Iterator[Finding]:
    used: set[policy.Scalar] = set()
    for rule in view.rules:
        for one in walks.walk(rule.checked.formula):
            match one:
                case policy.Granted(scope=scope):
                    used.add(scope)
                case _ if asks_scope(one):
                    used.update(value for _, value in literals(one))
    granted = view.api.inclusion.granted
    for declared in view.declarations(nodes.Scope):
        name = declared.node.name
        if used.isdisjoint(granted.get(name.text, (name.text,))):
            yield Finding(
                f"no rule uses the scope `{name.text}`",
                label_of(declared.source, name),
                "an application that holds it can do nothing more: use it in a rule, or remove it",
            )


RULE = LintRule("P3021", check)
