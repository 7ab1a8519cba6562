"""An action that no rule can allow: none lists it, or a `deny` forbids it whatever the request."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import conjuncts
from policyd.diagnostics import Label
from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of


def check(view: View) -> Iterator[Finding]:
    allowed: set[tuple[str, str]] = set()
    forbidden: dict[tuple[str, str], Label] = {}
    for rule in view.rules:
        pairs = [(rule.checked.resource, action) for action in rule.checked.actions]
        if rule.checked.effect == "allow":
            allowed.update(pairs)
        elif not conjuncts(rule.checked.formula):
            label = rule.label(rule.node.name.span, "denied here, always")
            forbidden.update((pair, label) for pair in pairs)
    for resource in view.declarations(nodes.Resource):
        for action in resource.node.actions:
            pair = (resource.node.name.text, action.text)
            if pair in allowed and pair not in forbidden:
                continue
            yield Finding(
                f"no rule can allow `{action.text}` on `{pair[0]}`",
                label_of(resource.source, action),
                "every such request is denied: write the `allow` that is missing, or remove the "
                "action",
                (forbidden[pair],) if pair in forbidden else (),
            )


RULE = LintRule("P3006", check)
