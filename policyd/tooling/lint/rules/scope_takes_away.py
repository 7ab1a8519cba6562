"""A rule by which an application can do less when it holds a scope more."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import parts
from policyd.tooling.lint.clients import asks_scope
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        takes_when = rule.checked.effect == "deny"
        for part in parts(rule.checked):
            if asks_scope(part.formula) and part.positive is takes_when:
                yield Finding(
                    f"{rule.checked.effect} `{rule.checked.name}` makes a scope take access away",
                    part.label,
                    "a scope adds to what an application may do; test another fact here",
                    (rule.as_reader,),
                )


RULE = LintRule("P3009", check)
