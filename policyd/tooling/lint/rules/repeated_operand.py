"""`and` or `or` that joins a condition with itself."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of
from policyd.tooling.lint.syntax import conditions, shape


def check(view: View) -> Iterator[Finding]:
    for one in conditions(view):
        match one.node:
            case nodes.And(operands=operands) | nodes.Or(operands=operands):
                first: dict[tuple[object, ...], nodes.Condition] = {}
                for operand in operands:
                    other = first.setdefault(shape(operand), operand)
                    if other is not operand:
                        yield Finding(
                            "the condition is joined with itself",
                            label_of(one.source, operand),
                            "remove one of the two, or write what was meant",
                            (label_of(one.source, other, "written here"),),
                        )


RULE = LintRule("P3033", check)
