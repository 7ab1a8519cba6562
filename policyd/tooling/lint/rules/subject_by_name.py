"""A rule that names a person: `token.subject` or `token.sub` compared with a literal."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import literals, parts
from policyd.language.types import TOKEN_FACTS
from policyd.tooling.lint.model import Finding, LintRule, View

_SUBJECT = frozenset(TOKEN_FACTS[name] for name in ("subject", "sub"))


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        for part in parts(rule.checked):
            named = [fact for fact, _ in literals(part.formula) if fact in _SUBJECT]
            if named:
                yield Finding(
                    f"{rule.checked.effect} `{rule.checked.name}` names a subject",
                    part.label,
                    "test a role or a group of the token, or an attribute of the resource; an "
                    "application is named by `token.client`",
                    (rule.as_reader,),
                )


RULE = LintRule("P3010", check)
