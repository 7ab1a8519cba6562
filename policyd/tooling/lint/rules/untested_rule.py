"""A rule that no test shows where it applies, or an API without tests."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    assert view.tests is not None  # the rule needs them
    if not view.tests.cases:
        yield Finding(
            f"API `{view.api.name}` has no tests",
            view.home,
            "write some in a file `NAME_test.policy` beside the policy",
        )
        return
    for rule in view.rules:
        if rule.checked.name not in view.tests.applied:
            yield Finding(
                f"no test shows where {rule.checked.effect} `{rule.checked.name}` applies",
                rule.name_label,
                f"add one: `{rule.checked.effect} … by {rule.checked.name}`",
            )


RULE = LintRule("P3041", check, needs_tests=True)
