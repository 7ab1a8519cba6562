"""A `deny` that does not tell the caller why."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        if rule.checked.effect == "deny" and not rule.checked.because:
            yield Finding(
                f"deny `{rule.checked.name}` does not say why",
                rule.name_label,
                'add `because "…"`: it is shown to the caller',
            )


RULE = LintRule("P3005", check)
