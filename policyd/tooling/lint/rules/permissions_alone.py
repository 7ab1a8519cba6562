"""An `allow` that `token.permissions` can satisfy without any scope.

Permissions say what the user may do, scopes what the user let the application do. A rule that asks
for the first alone gives every application of the user all that the user may do.
"""

from __future__ import annotations

from collections.abc import Iterator

from policyd.tooling.lint.clients import may_hold_for_any
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        if (
            rule.checked.effect == "allow"
            and may_hold_for_any(rule.checked, permitted=True)
            and not may_hold_for_any(rule.checked, permitted=False)
        ):
            yield Finding(
                f"allow `{rule.checked.name}` rests on `token.permissions` alone",
                rule.name_label,
                "require a scope too: permissions are the user's, scopes the application's",
            )


RULE = LintRule("P3001", check)
