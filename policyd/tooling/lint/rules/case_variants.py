"""Two texts compared with one fact that differ in upper and lower case only."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import literals, parts
from policyd.diagnostics import Label
from policyd.language.types import Fact
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    first: dict[tuple[Fact, str], tuple[str, Label]] = {}
    for rule in view.rules:
        for part in parts(rule.checked):
            for fact, value in literals(part.formula):
                if not isinstance(value, str):
                    continue
                other, place = first.setdefault((fact, value.casefold()), (value, part.label))
                if other != value:
                    yield Finding(
                        f'"{value}" and "{other}" differ in case only',
                        part.label,
                        "texts are equal when every character is: write both alike",
                        (Label(place.source, place.span, f'"{other}" is here'),),
                    )


RULE = LintRule("P3016", check)
