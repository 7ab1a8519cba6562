"""A claim that is declared and that no rule reads."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of


def check(view: View) -> Iterator[Finding]:
    for declared in view.declarations(nodes.Claim):
        name = declared.node.name
        if f"token.{name.text}" in view.read_by_rules:
            continue
        yield Finding(
            f"no rule reads the claim `{name.text}`",
            label_of(declared.source, name),
            "use it in a rule, or remove it",
            notes=()
            if declared.node.type.optional
            else ("without `?` it is demanded: a token that lacks it is refused all the same",),
        )


RULE = LintRule("P3022", "unused-claim", check)
