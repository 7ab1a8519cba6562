"""Scopes in two orders of words, verb first or thing first: `read:reports`, `reports:write`.

A client developer then has to guess the order of each scope.
"""

from __future__ import annotations

from collections.abc import Iterator

from policyd.diagnostics import Label
from policyd.language import nodes
from policyd.tooling.lint.model import Finding, LintRule, View, label_of


def check(view: View) -> Iterator[Finding]:
    first: dict[tuple[int, str], Label] = {}
    for declared in view.declarations(nodes.Scope):
        name = declared.node.name
        words = name.text.split(":")
        if len(words) != 2 or words[0] == words[1]:
            continue
        for position, word in enumerate(words):
            first.setdefault((position, word), label_of(declared.source, name))
        for position, word in enumerate(words):
            other = first.get((1 - position, word))
            if other is not None:
                yield Finding(
                    f"other scopes put `{word}` on the other side of the colon",
                    label_of(declared.source, name),
                    "use one order of words for all scopes of the API",
                    (Label(other.source, other.span, "the other order"),),
                )


RULE = LintRule("P3037", check)
