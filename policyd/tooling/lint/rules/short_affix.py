"""`starts with` or `ends with` one character, which is nearly a wildcard."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import parts
from policyd.language import policy
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        for part in parts(rule.checked):
            match part.formula:
                case policy.StartsWith(prefix=affix) | policy.EndsWith(suffix=affix):
                    if len(affix) == 1:
                        yield Finding(
                            f'nearly every text may match the one character "{affix}"',
                            part.label,
                            "compare with more of the text, or list the values with `in […]`",
                        )


RULE = LintRule("P3012", check)
