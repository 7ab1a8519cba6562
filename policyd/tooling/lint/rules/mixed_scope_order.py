"""Scopes that name the thing first here and the verb first there: `read:reports`, `reports:write`.

Who asks for a scope then has to guess.
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
                    f"`{word}` stands on the other side of the colon elsewhere",
                    label_of(declared.source, name),
                    "give all scopes of the API one order of words",
                    (Label(other.source, other.span, "here it does"),),
                )


RULE = LintRule("P3037", check)
