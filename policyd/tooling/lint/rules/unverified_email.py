"""A rule that reads the claim `email` and not `email_verified`.

OpenID Connect Core 1.0, section 5.7: no claim but `sub` with `iss` identifies a user. An address
that was never verified is whatever the user typed.
"""

from __future__ import annotations

from collections.abc import Iterator

from policyd.language import policy
from policyd.language.types import Fact
from policyd.tooling.lint.formulas import parts, reads
from policyd.tooling.lint.model import Finding, LintRule, View


def check(view: View) -> Iterator[Finding]:
    emails = _claims(view, "email")
    verified = _claims(view, "email_verified")
    for rule in view.rules:
        if not policy.facts(rule.checked.formula).isdisjoint(verified):
            continue
        for part in parts(rule.checked):
            if isinstance(part.formula, policy.Present) or emails.isdisjoint(reads(part.formula)):
                continue
            yield Finding(
                f"{rule.checked.effect} `{rule.checked.name}` trusts an unverified address",
                part.label,
                "declare `claim email_verified: bool?` and test it too",
                (rule.as_reader,),
            )


def _claims(view: View, name: str) -> set[Fact]:
    return {claim.fact for claim in view.api.claims.values() if claim.path == (name,)}


RULE = LintRule("P3011", "unverified-email", check)
