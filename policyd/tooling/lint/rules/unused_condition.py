"""A condition that nothing names."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of
from policyd.tooling.lint.syntax import uses


def check(view: View) -> Iterator[Finding]:
    used = uses(view)
    for declared in view.declarations(nodes.Define):
        name = declared.node.name
        if name.text not in used:
            yield Finding(
                f"nothing uses the condition `{name.text}`",
                label_of(declared.source, name),
                "name it in a rule, or remove it",
            )


RULE = LintRule("P3025", check)
