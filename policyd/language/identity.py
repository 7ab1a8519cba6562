"""Identity where several issuers speak for one API.

`sub` alone names nobody: another issuer may give the same one to somebody else (RFC 7519, section
4.1.2). So where an API has several issuers, a rule that reads who the caller is has to test the
issuer too. Which issuers there are is the daemon's configuration, not the policy's text.
"""

from __future__ import annotations

from collections.abc import Container

from policyd.diagnostics import Diagnostic, Label
from policyd.language import policy
from policyd.language.types import TOKEN_FACTS

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
            read = policy.facts(rule.formula)
            named = sorted(fact.path for fact in read & _IDENTITY)
            if named and _ISSUER not in read:
                found.append(
                    Diagnostic(
                        "P1025",
                        f"rule `{rule.name}` reads `{named[0]}` of whichever issuer",
                        Label(rule.source, rule.span),
                        help=f"API `{api.name}` has several issuers, and two of them may give one "
                        'identity to two people: add `token.iss == "…"`',
                    )
                )
    return tuple(sorted(found, key=lambda one: one.sort_key))
