"""A test that expects a deny and does not say why, and holds whatever denies."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.diagnostics import Label
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    assert view.tests is not None  # the rule needs them
    for case in view.tests.cases:
        for expected in case.expectations:
            says_why = expected.reason is not None or expected.by or expected.missing
            if expected.effect == "deny" and not says_why:
                yield Finding(
                    f'test "{case.title}" expects a deny for any reason',
                    Label(case.source, expected.span),
                    "add `because REASON`, `by RULE` or `missing SCOPE`: a request denied for "
                    "another reason passes too",
                )


RULE = LintRule("P3042", check, needs_tests=True)
