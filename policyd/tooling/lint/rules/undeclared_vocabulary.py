"""A fact that is compared with four texts or more, and whose values are not declared.

Nothing then notices a misspelt text: an `allow` never applies, and a `deny` neither.
"""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import literals, parts
from policyd.diagnostics import Label
from policyd.language.types import RESOURCE_ID, Fact, Origin, Type
from policyd.tooling.lint.model import Finding, LintRule, View

#: From so many different texts on.
_MANY = 4
_SHOWN = 4
_DECLARED = frozenset({Origin.CLAIM, Origin.USERINFO, Origin.RESOURCE, Origin.CONTEXT})
_TEXTS = frozenset({Type.STRING, Type.SET_OF_STRING})


def check(view: View) -> Iterator[Finding]:
    texts: dict[Fact, dict[str, Label]] = {}
    for rule in view.rules:
        for part in parts(rule.checked):
            for fact, value in literals(part.formula):
                if isinstance(value, str) and _may_declare(fact):
                    texts.setdefault(fact, {}).setdefault(value, part.label)
    for fact, found in texts.items():
        if len(found) >= _MANY:
            yield _finding(fact, found)


def _may_declare(fact: Fact) -> bool:
    """Tell whether a policy gives the fact its type, and this may be a vocabulary and is none."""
    if fact.vocabulary is not None or fact == RESOURCE_ID:
        return False
    return fact.origin in _DECLARED and fact.type in _TEXTS


def _finding(fact: Fact, found: dict[str, Label]) -> Finding:
    values = ", ".join(f'"{value}"' for value in list(found)[:_SHOWN])
    more = ", …" if len(found) > _SHOWN else ""
    type_ = "KIND" if fact.type is Type.STRING else "set<KIND>"
    return Finding(
        f"`{fact.path}` is compared with {len(found)} texts, and nothing says which there are",
        next(iter(found.values())),
        f"declare them, so that a misspelt one is an error: `values KIND: {values}{more}` "
        f"and `{fact.name}: {type_}`",
    )


RULE = LintRule("P3028", check)
