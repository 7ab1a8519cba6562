"""`is present` or `is missing` asked of a value that is always there."""

from __future__ import annotations

from collections.abc import Iterator

from policyd.analysis.formulas import parts
from policyd.language import policy
from policyd.language.types import NOW, TOKEN_FACTS, Fact
from policyd.tooling.lint.model import Finding, LintRule, View

_NEVER_MISSING = frozenset(
    {NOW, *(TOKEN_FACTS[name] for name in ("scopes", "permissions", "iss", "audience"))}
)


def check(view: View) -> Iterator[Finding]:
    for rule in view.rules:
        required = _NEVER_MISSING | _required(view, rule.checked.resource)
        for part in parts(rule.checked):
            match part.formula:
                case policy.Present(fact=fact) if fact in required:
                    yield Finding(
                        f"`{fact.path}` is always present",
                        part.label,
                        "leave it out; a value that may be missing is declared with `?`",
                    )


def _required(view: View, resource: str) -> set[Fact]:
    passed = (*view.api.context, *view.api.resources[resource].attributes)
    return {
        *(claim.fact for claim in view.api.claims.values() if not claim.may_be_missing),
        *(claim.fact for claim in view.api.userinfo.values() if not claim.may_be_missing),
        *(one.fact for one in passed if not one.optional),
    }


RULE = LintRule("P3018", check)
