"""Opaque tokens: what their issuer says of them (RFC 7662), remembered for a while.

Input: a token that is no JWT. Output: its claims, or a refusal, or `TokenPending` where the issuer
must be asked first. A request never waits here. What is believed is what the issuer's own endpoint
answers over HTTPS to policyd's credentials, and nothing that the token says.
"""

from __future__ import annotations

import math
import re
from collections.abc import Callable, Mapping
from typing import Final
from urllib.parse import urlencode

import msgspec

from policyd.json_types import Json
from policyd.tokens import mistaken
from policyd.tokens.details import configured, quote, quote_member
from policyd.tokens.endpoints.endpoint import Endpoint, EndpointFailed
from policyd.tokens.endpoints.pending import AnswerCache, IssuerAnswer, TokenPending
from policyd.tokens.https.fetch import HttpRequest, SendRequest
from policyd.tokens.introspection.client_authentication import CredentialsUnusable, credentials
from policyd.tokens.refusals import (
    IntrospectionUnavailable,
    TokenInactive,
    TokenMalformed,
    TokenTooLarge,
)
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.endpoints import IntrospectionSettings
from policyd.tokens.settings.issuers import IssuerSettings

LONGEST_OPAQUE: Final = 4096
#: Seconds for which a token is not asked about again after there was no time to.
GIVEN_UP_FOR: Final = 1
#: RFC 6750, section 2.1, but for the dot: what has dots is a JWT or nothing.
_OPAQUE: Final = re.compile(r"[A-Za-z0-9\-_~+/]+=*").fullmatch
#: Statuses that say something of policyd or the server, and nothing of this token.
_REFUSES_POLICYD: Final = frozenset((401, 403, 429, 503))

Claims = dict[str, Json]


class _Failure(msgspec.Struct, frozen=True, gc=False):
    """There is no answer, and why."""

    problem: str


class _Inactive(msgspec.Struct, frozen=True, gc=False):
    """The issuer says that the token is not active, whatever it may have been."""


class Introspector:
    """Knows an issuer's opaque tokens. Safe to use from several threads.

    `ask` may wait; `clock` tells seconds since the epoch. Active tokens are remembered apart from
    all others, so that a flood of invented ones drives none of them out.
    """

    def __init__(
        self,
        issuer: IssuerSettings,
        settings: IntrospectionSettings,
        ask: SendRequest,
        clock: Callable[[], float],
    ) -> None:
        self.settings = settings
        self._issuer = issuer.issuer
        self._clock = clock
        self._endpoint = Endpoint(
            issuer, "introspection_endpoint", settings.endpoint, ask, settings.timeout
        )
        self._active: AnswerCache[Claims] = AnswerCache()
        self._others: AnswerCache[_Inactive | _Failure] = AnswerCache()
        self._paused: tuple[str, float] = ("", -math.inf)

    def look_up(self, access_token: str, digest: bytes, now: float) -> IssuerAnswer[Claims]:
        """Return what the issuer says of an active token, and until when that counts.

        `digest` is the token's SHA-256. Raises `TokenInactive`, `IntrospectionUnavailable`,
        `TokenMalformed` and `TokenTooLarge` for what cannot be a token, and `TokenPending`.
        """
        active = self._active.get(digest, now)
        if active is not None:
            return active
        other = self._others.get(digest, now)
        if other is not None:
            raise _refusal(other, now)
        _check_form(access_token)
        problem, until = self._paused
        if now < until:
            raise _refusal(IssuerAnswer(_Failure(problem), until, 0), now)
        raise TokenPending(
            (self._issuer, "introspection", digest),
            lambda: self._fetch(access_token, digest),
            lambda: self._fail(digest, "there was no time to ask the issuer", GIVEN_UP_FOR),
        )

    def check_credentials(self) -> None:
        """Check that policyd can show who it is. Raises `CredentialsUnusable`."""
        credentials(self.settings, self._issuer, self._clock)

    def _fetch(self, access_token: str, digest: bytes) -> None:
        """SendRequest the issuer, and cache the answer or the failure."""
        asked_at = self._clock()
        if self._active.get(digest, asked_at) or self._others.get(digest, asked_at):
            return  # answered meanwhile
        try:
            response, length = self._endpoint.ask(
                lambda url: self._request(url, access_token), "introspection response"
            )
            claims = self._read(response)
        except CredentialsUnusable as problem:
            self._fail(digest, str(problem), self.settings.negative_cache_seconds)
            self._endpoint.tell(str(problem))
        except EndpointFailed as problem:
            if problem.status in _REFUSES_POLICYD:
                # It refuses policyd itself for now, whatever the token.
                self._paused = (str(problem), asked_at + self.settings.negative_cache_seconds)
            self._fail(digest, str(problem), self.settings.negative_cache_seconds)
            self._endpoint.tell(str(problem))
        else:
            settings = self.settings
            if isinstance(claims, _Inactive):
                # Its time is over, but a clock that is set back would begin it again.
                self._active.forget(digest)
                self._others.put(digest, claims, asked_at + settings.negative_cache_seconds, 0)
            else:
                self._active.put(digest, claims, asked_at + settings.cache_seconds, length)

    def _request(self, url: str, access_token: str) -> HttpRequest:
        """Make the request of RFC 7662, section 2.1."""
        shown_by = credentials(self.settings, self._issuer, self._clock)
        form = {"token": access_token, "token_type_hint": "access_token", **shown_by.form}
        headers = {
            "Accept": "application/json",
            "Content-Type": "application/x-www-form-urlencoded",
            **shown_by.headers,
        }
        return HttpRequest(url, headers, urlencode(form).encode())

    def _read(self, response: Mapping[str, Json]) -> Claims | _Inactive:
        """Read a response (RFC 7662, section 2.2). Raises `EndpointFailed`."""
        active = response.get("active")
        if active is False:
            return _Inactive()
        if active is not True:
            raise EndpointFailed(
                f"the response's `active` is {quote_member(response, 'active')}, "
                "neither true nor false"
            )
        if response.get("iss", self._issuer) != self._issuer:
            raise EndpointFailed(
                f"the response's `iss` is {quote(response['iss'], 'iss')}, "
                f"the issuer is {configured(self._issuer)}"
            )
        return {**response, "iss": self._issuer}

    def _fail(self, digest: bytes, problem: str, seconds: int) -> None:
        """Remember for a while that there is no answer."""
        self._others.put(digest, _Failure(problem), self._clock() + seconds, len(problem))


def introspected(dialect: Dialect) -> Dialect:
    """Return a dialect as introspection responses speak it.

    They have RFC 7662's own names for scope and client. `token_type` is their mark of an access
    token, and checked already; what only ID tokens bear still refuses.
    """
    client = dialect.client if "client_id" in dialect.client else (*dialect.client, "client_id")
    return msgspec.structs.replace(
        dialect,
        at_jwt=False,
        marks=(),
        decisive=True,
        client_outside_audience=False,
        client=client,
        scope="scope",
        scope_form="text",
        audience_by_client=False,
    )


def _check_form(access_token: str) -> None:
    if len(access_token) > LONGEST_OPAQUE:
        raise TokenTooLarge(
            f"the opaque token has {len(access_token)} characters, the limit is {LONGEST_OPAQUE}"
        )
    if _OPAQUE(access_token) is None or access_token in mistaken.NOTHING:
        raise TokenMalformed(
            mistaken.meant(access_token)
            or "the token is opaque, and holds characters that no token may hold"
        )


def _refusal(
    answer: IssuerAnswer[_Inactive] | IssuerAnswer[_Failure] | IssuerAnswer[_Inactive | _Failure],
    now: float,
) -> TokenInactive | IntrospectionUnavailable:
    if isinstance(answer.value, _Inactive):
        return TokenInactive("the issuer says that the token is not active")
    return IntrospectionUnavailable(
        answer.value.problem, retry_after=max(1, math.ceil(answer.until - now))
    )
