"""Identity in APIs that accept tokens of several issuers.

`sub` alone does not identify a person: another issuer may give the same value to somebody else (RFC
7519, section 4.1.2). So if an API has several issuers, a test of the caller's identity must be
joined with a test of the issuer by `and`. The daemon's configuration names the issuers, not the
policy.
"""

from __future__ import annotations

from collections.abc import Container
from typing import assert_never

from policyd.diagnostics import Diagnostic, Label
from policyd.language import policy
from policyd.language.types import TOKEN_FACTS, Fact

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
            named = sorted(fact.path for fact in _unguarded(rule))
            if named:
                found.append(
                    Diagnostic(
                        "P1025",
                        f"rule `{rule.name}` reads `{named[0]}` without testing `token.iss`",
                        Label(rule.source, rule.span),
                        help=f"API `{api.name}` has several issuers, and two of them may give the "
                        'same identity to two people: add `and token.iss == "…"`',
                    )
                )
    return tuple(sorted(found, key=lambda one: one.sort_key))


def _unguarded(rule: policy.Rule) -> set[Fact]:
    """The facts of identity that are read where no conjunct around them tests the issuer.

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
            case policy.HasSome(condition=inner):
                stack.append(inner)
            case policy.Leaf():
                found |= policy.facts(one) & _IDENTITY
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
