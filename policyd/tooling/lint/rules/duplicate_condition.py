"""Two names for one condition."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.diagnostics import Label
from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of
from policyd.tooling.lint.syntax import shape


def check(view: View) -> Iterator[Finding]:
    first: dict[tuple[object, ...], tuple[str, Label]] = {}
    for declared in view.declarations(nodes.Define):
        name = declared.node.name
        here = (name.text, label_of(declared.source, name, "says the same"))
        other, place = first.setdefault(shape(declared.node.condition), here)
        if place is not here[1]:
            yield Finding(
                f"the conditions `{name.text}` and `{other}` are identical",
                label_of(declared.source, name),
                f"use `{other}` for both, or correct the one that should differ",
                (place,),
            )


RULE = LintRule("P3031", check)
