"""`"NAME" in token.scopes`, for which there is `scope NAME`."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.diagnostics import Edit
from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of
from policyd.tooling.lint.syntax import conditions


def check(view: View) -> Iterator[Finding]:
    for one in conditions(view):
        match one.node:
            case nodes.Compare(
                operator="in",
                left=nodes.Text() | nodes.Name() as scope,
                right=nodes.Reference(text="token.scopes"),
            ):
                better = f"scope {one.source.text[slice(*scope.span)]}"
                yield Finding(
                    f"`{better}` says this in fewer words",
                    label_of(one.source, one.node),
                    f"write `{better}`",
                    fix=(Edit(one.node.span, better),),
                )


RULE = LintRule("P3035", check)
