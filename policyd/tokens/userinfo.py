"""What an issuer tells of a user besides the token (OpenID Connect Core 1.0, section 5.3).

Input: a token that passed every step. Output: the claims of the issuer's userinfo endpoint about
the same `sub`, `None` where there are none, or `TokenPending` where it must be asked first. Nothing
of it proves anything about the token: not its audience, and not its scopes.

Answers are remembered by the token, not by its subject: what an application may see of a user
depends on what that token was granted.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Final

from policyd.json_types import Json
from policyd.tokens.endpoints.endpoint import Endpoint, EndpointFailed
from policyd.tokens.endpoints.pending import AnswerCache, TokenPending
from policyd.tokens.https.fetch import HttpRequest, SendRequest
from policyd.tokens.model import VerifiedToken
from policyd.tokens.settings.endpoints import UserinfoSettings
from policyd.tokens.settings.issuers import IssuerSettings

_OPENID: Final = "openid"
#: Seconds for which a user is not asked about again after there was no time to.
GIVEN_UP_FOR: Final = 1


class Userinfo:
    """Asks an issuer about users. Safe to use from several threads.

    `ask` may wait; `clock` tells seconds since the epoch.
    """

    def __init__(
        self,
        issuer: IssuerSettings,
        settings: UserinfoSettings,
        ask: SendRequest,
        clock: Callable[[], float],
    ) -> None:
        self._issuer = issuer.issuer
        self._settings = settings
        self._clock = clock
        self._endpoint = Endpoint(
            issuer, "userinfo_endpoint", settings.endpoint, ask, settings.timeout
        )
        self._known: AnswerCache[Mapping[str, Json]] = AnswerCache()
        self._failed: AnswerCache[None] = AnswerCache()

    def look_up(
        self, token: VerifiedToken, access_token: str, now: float
    ) -> Mapping[str, Json] | None:
        """Return what is known of the subject of a verified token; `None`: nothing.

        Only a token with the scope `openid` opens the endpoint, and one that is bound to its sender
        does so for nobody else. (So no proof is shown twice because a question was put again.)
        Raises `TokenPending`.
        """
        subject = token.claims.get("sub")
        if _OPENID not in token.scopes or "cnf" in token.claims or not isinstance(subject, str):
            return None
        digest = sha256(access_token.encode()).digest()
        known = self._known.get(digest, now)
        if known is not None:
            return known.value
        if self._failed.get(digest, now) is not None:
            return None
        raise TokenPending(
            (self._issuer, "userinfo", digest),
            lambda: self._fetch(access_token, digest, subject),
            lambda: self._fail(digest, GIVEN_UP_FOR),
        )

    def _fetch(self, access_token: str, digest: bytes, subject: str) -> None:
        """SendRequest the issuer, and cache the answer or the failure."""
        asked_at = self._clock()
        if self._known.get(digest, asked_at) or self._failed.get(digest, asked_at):
            return  # answered meanwhile
        headers = {"Accept": "application/json", "Authorization": f"Bearer {access_token}"}
        try:
            claims, length = self._endpoint.ask(
                lambda url: HttpRequest(url, headers), "userinfo response"
            )
            # Section 5.3.2: without this, somebody else's claims could take this user's place.
            if claims.get("sub") != subject:
                raise EndpointFailed("the response's `sub` differs from the token's")
        except EndpointFailed as problem:
            self._fail(digest, self._settings.negative_cache_seconds)
            self._endpoint.tell(str(problem))
        else:
            self._known.put(digest, claims, asked_at + self._settings.cache_seconds, length)

    def _fail(self, digest: bytes, seconds: int) -> None:
        """Remember for a while that nothing is known."""
        self._failed.put(digest, None, self._clock() + seconds, 0)
