"""How each API wants to be called: what its challenges offer to who brought no token."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from policyd.decision.challenge import Protection, Scheme
from policyd.language.policy import Api
from policyd.tokens.issuers import IssuerSettings


def protections(
    issuers: Callable[[], Iterable[IssuerSettings]], dpop_algorithms: tuple[str, ...]
) -> Callable[[Api], Protection]:
    """Return what tells of an API how it is protected; `issuers` are those configured by then.

    DPoP is offered where an issuer that may speak for the API is set to bind its tokens so, and
    Bearer wherever one is not. What is not offered may be accepted nevertheless: the token says
    itself how it is bound.
    """

    def protect(api: Api) -> Protection:
        required = {
            issuer.require_binding
            for issuer in issuers()
            if issuer.apis is None or api.name in issuer.apis
        }
        offers: list[Scheme] = []
        if required != {"dpop"}:
            offers.append("Bearer")
        if not required.isdisjoint(("dpop", "any")):
            offers.append("DPoP")
        return Protection(api.name, tuple(offers), dpop_algorithms)

    return protect
