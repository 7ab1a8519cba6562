"""An `allow` that can hold for an application of which it asks nothing: no scope, no name."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.tooling.lint.clients import may_hold_for_any
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        if rule.checked.effect == "allow" and may_hold_for_any(rule.checked, permitted=False):
            yield Finding(
                f"allow `{rule.checked.name}` grants to every client",
                rule.name_label,
                "require a scope, or name the application: `token.client == …`",
            )


RULE = LintRule("P3002", check)
