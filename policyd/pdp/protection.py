"""The challenges of each API: the schemes that they offer to a caller without a token."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from policyd.decision.challenge import Challenger, Protection, Scheme
from policyd.language.policy import Api
from policyd.tokens.settings.issuers import IssuerSettings


class ConfiguredChallenger(Challenger):
    """The configured challenges.

    `issuers()` is read at each call. `metadata_url` returns the URL of an API's metadata, if
    challenges should name it, and `dpop_nonce` the nonce that proofs need at a time in seconds.
    `base_scopes` returns the scopes that the API's clients begin with. `tells_details` is whether
    challenges say that a token lacks an authorization detail.
    """

    def __init__(
        self,
        issuers: Callable[[], Iterable[IssuerSettings]],
        dpop_algorithms: tuple[str, ...] = (),
        metadata_url: Callable[[Api], str | None] = lambda _: None,
        dpop_nonce: Callable[[float], str | None] = lambda _: None,
        base_scopes: Callable[[Api], tuple[str, ...]] = lambda _: (),
        *,
        tells_details: bool = False,
    ) -> None:
        self._issuers = issuers
        self._dpop_algorithms = dpop_algorithms
        self._metadata_url = metadata_url
        self._dpop_nonce = dpop_nonce
        self._base_scopes = base_scopes
        self._tells_details = tells_details

    def protection(self, api: Api) -> Protection:
        """Return how an API wants to be called.

        DPoP is offered where an issuer that may speak for the API is set to bind its tokens so, and
        Bearer wherever one is not. What is not offered may be accepted nevertheless: the token says
        itself how it is bound.
        """
        required = {
            issuer.require_binding
            for issuer in self._issuers()
            if issuer.apis is None or api.name in issuer.apis
        }
        offers: list[Scheme] = []
        if required != {"dpop"}:
            offers.append("Bearer")
        if not required.isdisjoint(("dpop", "any")):
            offers.append("DPoP")
        metadata = self._metadata_url(api) or ""
        return Protection(
            api.name,
            tuple(offers),
            self._dpop_algorithms,
            metadata,
            self._tells_details,
            self._base_scopes(api),
        )

    def dpop_nonce(self, now: float) -> str | None:
        """Return what the next proof of a token bound by DPoP needs, if anything."""
        return self._dpop_nonce(now)
