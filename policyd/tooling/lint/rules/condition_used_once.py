"""A condition that is named once, and might stand there in full."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of
from policyd.tooling.lint.syntax import uses


def check(view: View) -> Iterator[Finding]:
    used = uses(view)
    for declared in view.declarations(nodes.Define):
        name = declared.node.name
        if len(used.get(name.text, ())) == 1:
            yield Finding(
                f"the condition `{name.text}` is used once",
                label_of(declared.source, name),
                "write it where it is used, unless its name says more than it does",
                tuple(used[name.text]),
            )


RULE = LintRule("P3026", check, default=False)
