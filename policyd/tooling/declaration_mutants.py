"""Small changes of declarations, each of which a test should notice.

- a scope no longer includes another;
- a claim of one issuer is believed of every issuer.

Of other declarations no test can tell: what a vocabulary lacks no literal may name, and a test that
states an attribute where there is none does not load.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from policyd.language import policy
from policyd.language.inclusion import of_edges
from policyd.tooling.mutant import Mutant


def of_declarations(api: policy.Api) -> Iterator[Mutant]:
    """Yield the mutants of an API's scopes, and then those of its claims."""
    for name, scope in api.scopes.items():
        for included, label in zip(scope.includes, scope.included_at, strict=True):
            without = tuple(one for one in scope.includes if one != included)
            changed = msgspec.structs.replace(scope, includes=without, included_at=())
            label = msgspec.structs.replace(label, message="no longer included")
            yield Mutant(_with_scope(api, changed), f"scope {name}", label)
    for section, claims in (("claim", api.claims), ("userinfo", api.userinfo)):
        for name, claim in claims.items():
            if claim.at is not None:
                anybodys = {**claims, name: msgspec.structs.replace(claim, issuer=None)}
                changed_api = (
                    msgspec.structs.replace(api, claims=anybodys)
                    if section == "claim"
                    else msgspec.structs.replace(api, userinfo=anybodys)
                )
                label = msgspec.structs.replace(claim.at, message="or any other issuer")
                yield Mutant(changed_api, f"{section} {name}", label)


def _with_scope(api: policy.Api, changed: policy.ScopeDeclaration) -> policy.Api:
    scopes = {**api.scopes, changed.name: changed}
    # What the search for missing scopes leaves out last stays so.
    declared = sorted(scopes, key=lambda name: -api.inclusion.order[name])
    inclusion = of_edges({name: scopes[name].includes for name in declared})
    return msgspec.structs.replace(api, scopes=scopes, inclusion=inclusion)
