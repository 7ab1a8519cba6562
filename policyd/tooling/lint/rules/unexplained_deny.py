"""A test that expects a deny and does not say why, and holds whatever denies."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.diagnostics import Label
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    assert view.tests is not None  # the rule needs them
    for case in view.tests.cases:
        for expected in case.expectations:
            if expected.effect == "deny" and expected.reason is None and not expected.by:
                yield Finding(
                    f'test "{case.title}" expects a deny for whatever reason',
                    Label(case.source, expected.span),
                    "add `because REASON`, or `by RULE`: a request denied for another reason "
                    "passes too",
                )


RULE = LintRule("P3042", "unexplained-deny", check, needs_tests=True)
