"""A context entry that is declared and that no rule reads."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of


def check(view: View) -> Iterator[Finding]:
    for declared in view.declarations(nodes.Context):
        for field in declared.node.fields:
            if f"context.{field.name.text}" not in view.read_by_rules:
                yield Finding(
                    f"no rule reads the context entry `{field.name.text}`",
                    label_of(declared.source, field.name),
                    "callers pass it without effect: use it in a rule, or remove it",
                )


RULE = LintRule("P3023", check)
