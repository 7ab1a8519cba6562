"""No test of an API has a token as one of its issuers writes it."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language.cases import TestClaims
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    assert view.tests is not None  # the rule needs them
    shown = {
        expected.token.dialect
        for case in view.tests.cases
        for expected in case.expectations
        if isinstance(expected.token, TestClaims)
    }
    for name in sorted(view.dialects.keys() - shown):
        yield Finding(
            f"no test of `{view.api.name}` has a token as `{name}` writes it",
            view.home,
            f"add `token from {name} {{ … }}` to a test, with the claims of a real token: "
            "`policyd token inspect` shows them",
        )


RULE = LintRule("P3104", check, needs_tests=True)
