"""A comparison with an empty list: `in []` and `has any []` are never true, `has all []` always."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of
from policyd.tooling.lint.syntax import conditions


def check(view: View) -> Iterator[Finding]:
    for one in conditions(view):
        match one.node:
            case nodes.Compare(operator=operator, right=nodes.List(items=())):
                always = "true of every set" if operator == "has all" else "never true"
                yield Finding(
                    f"`{operator} []` is {always}",
                    label_of(one.source, one.node),
                    "put values into the list, or leave the comparison out",
                )


RULE = LintRule("P3017", check)
