"""Identity in APIs that accept tokens of several issuers.

`sub` alone does not identify a person: another issuer may give the same value to somebody else (RFC
7519, section 4.1.2). And each issuer may assert whatever it likes in its claims, such as the groups
of another one. So if an API has several issuers, a test of the caller's identity, or of a claim
that is not declared as that of one issuer, must be joined with a test of the issuer by `and`. Those
who assert subjects count as one more, which `subject is asserted` names. The daemon's configuration
names the issuers, not the policy.
"""

from __future__ import annotations

from collections.abc import Collection, Container
from typing import assert_never

from policyd.diagnostics import Diagnostic, Label, Severity, closest
from policyd.language import policy, walks
from policyd.language.types import ASSERTED, TOKEN_FACTS, Fact, Origin

_IDENTITY = frozenset(TOKEN_FACTS[name] for name in ("subject", "sub", "client", "actor"))
_ISSUER = TOKEN_FACTS["iss"]


def check_identity(
    policies: policy.PolicySet, several_issuers: Container[str]
) -> tuple[Diagnostic, ...]:
    """Find the rules that name an identity without its issuer.

    `several_issuers` holds the names of the APIs for which more than one issuer may speak.
    """
    found = []
    for api in policies.apis.values():
        if api.name not in several_issuers:
            continue
        for rule in api.rules:
            named = sorted(_unguarded(api, rule), key=lambda fact: fact.path)
            if named:
                found.append(
                    Diagnostic(
                        "P1025",
                        f"rule `{rule.name}` reads `{named[0].path}` without testing `token.iss`",
                        Label(rule.source, rule.span),
                        help=f"API `{api.name}` has several issuers, and {_help(named[0])}",
                    )
                )
    return tuple(sorted(found, key=lambda one: one.sort_key))


def unknown_issuers(
    policies: policy.PolicySet, configured: Collection[str]
) -> tuple[Diagnostic, ...]:
    """Find the claims of issuers that the daemon does not accept: they are missing always."""
    found = []
    for api in policies.apis.values():
        for claim in (*api.claims.values(), *api.userinfo.values()):
            if claim.issuer is not None and claim.issuer not in configured:
                near = closest(claim.issuer, configured)
                found.append(
                    Diagnostic(
                        "P1040",
                        f"`{claim.fact.path}` of API `{api.name}` is a claim of {claim.issuer}, "
                        "which is not configured",
                        claim.at,
                        help=f"did you mean {near}?"
                        if near
                        else "no token has the claim: configure the issuer, or correct its name",
                        severity=Severity.WARNING,
                    )
                )
    return tuple(found)


def _help(fact: Fact) -> str:
    if fact in _IDENTITY:
        return 'two of them may give the same identity to two people: add `and token.iss == "…"`'
    section = "claim" if fact.origin is Origin.CLAIM else "userinfo"
    return (
        'each may assert what it likes: add `and token.iss == "…"`, or say whose claim it is: '
        f'`{section} {fact.name}: … of "https://…"`'
    )


def _is_anybodys(api: policy.Api, fact: Fact) -> bool:
    """Tell whether any issuer may assert a fact about the caller."""
    match fact.origin:
        case Origin.CLAIM:
            return api.claims[fact.name].issuer is None
        case Origin.USERINFO:
            return api.userinfo[fact.name].issuer is None
    return fact in _IDENTITY


def _unguarded(api: policy.Api, rule: policy.Rule) -> set[Fact]:
    """The facts about the caller that are read where no conjunct around them tests the issuer.

    For an allow, the conjunct has to name the issuer. A deny may also except issuers: reading the
    identity of all other issuers can only deny too much.
    """
    found: set[Fact] = set()
    guards: dict[int, bool] = {}
    seen: set[int] = set()
    stack = [rule.formula]
    while stack:
        one = stack.pop()
        if id(one) in seen or _tests_issuer(one, guards, excepted=rule.effect == "deny"):
            continue
        seen.add(id(one))
        match one:
            case policy.All(operands=operands) | policy.AnyOf(operands=operands):
                stack.extend(operands)
            case policy.Not(operand=inner) | policy.NamedCondition(formula=inner):
                stack.append(inner)
            case policy.HasSome(fact=fact, condition=inner):
                found |= {fact} if _is_anybodys(api, fact) else set()
                stack.append(inner)
            case policy.Leaf():
                found |= {fact for fact in walks.facts(one) if _is_anybodys(api, fact)}
            case _:
                assert_never(one)
    return found


def _tests_issuer(formula: policy.Formula, known: dict[int, bool], *, excepted: bool) -> bool:
    """Whether a formula can be true only for a token of an issuer that it names or `excepted`.

    `known` remembers what was found, since conditions are shared.
    """
    answer = known.get(id(formula))
    if answer is None:
        match formula:
            case policy.Equal(left=left, right=right) | policy.In(left=left, right=right):
                answer = _ISSUER in (left, right)
            case policy.StartsWith(fact=fact, prefix=prefix):
                answer = fact == _ISSUER and prefix == ASSERTED  # `subject is asserted`
            case policy.All(operands=operands):
                answer = any(
                    _tests_issuer(operand, known, excepted=excepted) for operand in operands
                )
            case policy.AnyOf(operands=operands):
                answer = all(
                    _tests_issuer(operand, known, excepted=excepted) for operand in operands
                )
            case policy.NamedCondition(formula=inner) | policy.HasSome(condition=inner):
                answer = _tests_issuer(inner, known, excepted=excepted)
            case policy.Not(operand=inner):
                answer = excepted and _tests_issuer(inner, known, excepted=excepted)
            case policy.Leaf():
                answer = False
            case _:
                assert_never(formula)
        known[id(formula)] = answer
    return answer
