"""A `*` in a text that is compared. The language has no wildcards: it stands for itself."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import literals, parts
from policyd.language import policy
from policyd.tooling.lint.clients import asks_scope
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        for part in parts(rule.checked):
            for text in _texts(part.formula):
                if "*" in text:
                    yield Finding(
                        f'the `*` in "{text}" stands for itself',
                        part.label,
                        "there are no wildcards: use `starts with`, `ends with`, or a list",
                    )


def _texts(formula: policy.Formula) -> Iterator[str]:
    match formula:
        case policy.StartsWith(prefix=affix) | policy.EndsWith(suffix=affix):
            yield affix
        case _ if not asks_scope(formula):  # a declared scope may be called so
            yield from (value for _, value in literals(formula) if isinstance(value, str))


RULE = LintRule("P3015", check)
