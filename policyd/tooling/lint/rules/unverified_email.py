"""A rule that reads the claim `email` and not `email_verified`, of the token or of the userinfo.

OpenID Connect Core 1.0, section 5.7: no claim but `sub` with `iss` identifies a user. An address
that was never verified is whatever the user typed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from policyd.analysis.formulas import parts
from policyd.language import policy
from policyd.language.types import Fact, Origin
from policyd.language.walks import facts, own_facts
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    emails = _claims(view, "email")
    verified = _claims(view, "email_verified")
    for rule in view.rules:
        if not facts(rule.checked.formula).isdisjoint(verified):
            continue
        for part in parts(rule.checked):
            read = own_facts(part.formula)
            if isinstance(part.formula, policy.Present) or emails.isdisjoint(read):
                continue
            yield Finding(
                f"{rule.checked.effect} `{rule.checked.name}` trusts an unverified address",
                part.label,
                f"declare `{_section(read, emails)} email_verified: bool?` and test it too",
                (rule.as_reader,),
            )


def _claims(view: View, name: str) -> set[Fact]:
    declared = (*view.api.claims.values(), *view.api.userinfo.values())
    return {claim.fact for claim in declared if claim.path == (name,)}


def _section(read: Iterable[Fact], emails: set[Fact]) -> str:
    """Return the word that declares a claim where the address stands."""
    of_userinfo = any(fact in emails and fact.origin is Origin.USERINFO for fact in read)
    return "userinfo" if of_userinfo else "claim"


RULE = LintRule("P3011", check)
