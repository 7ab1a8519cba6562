"""A value compared with itself."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import operands, parts
from policyd.language.types import Fact
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        for part in parts(rule.checked):
            match operands(part.formula):
                case (Fact() as left, right) if left == right:
                    yield Finding(
                        f"`{left.path}` is compared with itself",
                        part.label,
                        f"compare it with another value; `{left.path} is present` asks whether "
                        "there is one",
                    )


RULE = LintRule("P3019", check)
