"""APIs, resources and rules without documentation. The message of a `deny` documents it."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of

_HELP = "say above it what it is for, in lines that begin with `///`"


def check(view: View) -> Iterator[Finding]:
    if not view.api.docs:
        yield Finding(f"API `{view.api.name}` has no documentation", view.home, _HELP)
    for resource in view.declarations(nodes.Resource):
        if not resource.node.docs:
            name = resource.node.name
            label = label_of(resource.source, name)
            yield Finding(f"resource `{name.text}` has no documentation", label, _HELP)
    for rule in view.rules:
        if not rule.checked.docs and not rule.checked.because:
            headline = f"{rule.checked.effect} `{rule.checked.name}` has no documentation"
            yield Finding(headline, rule.name_label, _HELP)


RULE = LintRule("P3038", check, default=False)
