"""A comparison with a list of two or more values that is written in more than one place."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import nodes
from policyd.language.symbols import Located
from policyd.tooling.lint.model import Finding, LintRule, View, label_of
from policyd.tooling.lint.syntax import conditions, shape


def check(view: View) -> Iterator[Finding]:
    first: dict[tuple[object, ...], Located[nodes.Condition]] = {}
    for one in conditions(view):
        match one.node:
            case nodes.Compare(right=nodes.List(items=items)) if len(items) > 1:
                other = first.setdefault(shape(one.node), one)
                if other is not one:
                    yield Finding(
                        "this list is written twice",
                        label_of(one.source, one.node),
                        "give the comparison a name: `define NAME as …`; two copies do not "
                        "stay the same",
                        (label_of(other.source, other.node, "here too"),),
                    )


RULE = LintRule("P3032", check)
