"""A negation of something that says no already: `not (x is missing)`, `unless x != y`.

`unless x is missing` is left alone: it reads well.
"""

from __future__ import annotations

from collections.abc import Iterator

from policyd.diagnostics import Source
from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of
from policyd.tooling.lint.syntax import conditions


def check(view: View) -> Iterator[Finding]:
    for one in conditions(view):
        if isinstance(one.node, nodes.Not):
            better = _better(one.node.operand, one.source)
            if better is not None:
                yield Finding(
                    "two negations cancel each other",
                    label_of(one.source, one.node),
                    f"write `{better}`",
                )
    for rule in view.rules:
        unless = rule.node.unless
        if unless is not None and not isinstance(unless, nodes.Is):
            better = _better(unless, rule.checked.source)
            if better is not None:
                yield Finding(
                    "`unless` negates a negation",
                    rule.label(unless.span),
                    f"write `and {better}` after `when`",
                )


def _better(operand: nodes.Condition, source: Source) -> str | None:
    """The opposite of a negation, without one; `None` for what is no negation."""
    text = source.text
    match operand:
        case nodes.Not(operand=inner):
            return " ".join(text[slice(*inner.span)].split())
        case nodes.Is(reference=reference, state=state) if state.text == "missing":
            return f"{reference.text} is present"
        case nodes.Compare(operator="!=", left=left, right=right):
            return f"{text[slice(*left.span)]} == {text[slice(*right.span)]}"
    return None


RULE = LintRule("P3034", check)
