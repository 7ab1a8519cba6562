"""Issuers that are asked about tokens, without a network: what they answer is set."""

from __future__ import annotations

import json
from collections.abc import Mapping
from urllib.parse import parse_qs

import msgspec

from policyd.json_types import Json
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tokens.https.fetch import Document, FetchFailed, HttpRequest
from policyd.tokens.introspection.introspector import Introspector
from policyd.tokens.settings.endpoints import IntrospectionSettings, UserinfoSettings
from policyd.tokens.trust import Issuer
from policyd.tokens.userinfo import Userinfo
from policyd.tokens.validator import Validator
from tests.support import tokens
from tests.support.tokens import AUDIENCE, HEALTH, NOW, Clock

ENDPOINT = "https://my-domain.auth0.com/ask"


class FakeAsk:
    """Answers requests with `answer`: an object, a whole body, or a failure. Counts them."""

    def __init__(self, answer: Mapping[str, Json] | None = None) -> None:
        self.requests: list[HttpRequest] = []
        self.seconds: list[float] = []
        self.answer: Mapping[str, Json] | Document | FetchFailed | None = answer

    def __call__(self, request: HttpRequest, seconds: float) -> Document:
        self.requests.append(request)
        self.seconds.append(seconds)
        if self.answer is None:
            raise FetchFailed(request.url, "the network is down")
        if isinstance(self.answer, FetchFailed):
            raise self.answer
        if isinstance(self.answer, Document):
            return self.answer
        return Document(json.dumps(self.answer).encode(), None, "application/json")

    def form(self, number: int = -1) -> dict[str, str]:
        """Return the form of a request."""
        sent = self.requests[number].form or b""
        return {name: values[0] for name, values in parse_qs(sent.decode()).items()}


def active(**changes: Json) -> dict[str, Json]:
    """Return the response about a token that is accepted at `NOW` for `HEALTH`."""
    usual: dict[str, Json] = {
        "active": True,
        "token_type": "Bearer",
        "sub": "user-1",
        "aud": AUDIENCE,
        "client_id": "app-1",
        "exp": int(NOW) + 900,
        "scope": "openid read:patients",
    }
    return usual | changes


def introspection(**changes: object) -> IntrospectionSettings:
    usual = IntrospectionSettings(
        client_id="policyd", client_secret_env="POLICYD_TEST_SECRET", endpoint=ENDPOINT
    )
    return msgspec.structs.replace(usual, **changes)


def asked_issuer(ask: FakeAsk, clock: Clock, **changes: object) -> Issuer:
    """Return an issuer that is asked about opaque tokens and users."""
    settings = tokens.settings(
        dialect="oidc",
        introspection=introspection(**changes),
        userinfo=UserinfoSettings(endpoint=ENDPOINT),
    )
    usual = tokens.issuer(dialect="oidc")
    assert settings.introspection is not None
    assert settings.userinfo is not None
    return Issuer(
        settings=settings,
        dialect=settings.dialect_row,
        algorithms=usual.algorithms,
        keys=usual.keys,
        introspector=Introspector(settings, settings.introspection, ask, clock),
        userinfo=Userinfo(settings, settings.userinfo, ask, clock),
    )


def settle(validator: Validator, text: str, clock: Clock) -> None:
    """Have the issuer asked about a token that is pending."""
    try:
        validator.verify(text, HEALTH, clock())
    except TokenPending as pending:
        pending.fetch()
        return
    raise AssertionError("it was not pending")
