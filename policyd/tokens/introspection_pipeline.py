"""The steps of an opaque token: its issuer's word in place of a signature, then those of a JWT.

Input: a `Candidate` whose text has no dots, at an API with an issuer that is asked about such
tokens. Output: an `IntrospectedToken`. Every step runs at each use: only the issuer's answer is
remembered, so the verdict is always a fresh one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Final

import msgspec

from policyd.json_types import Json
from policyd.tokens.details import quote_member
from policyd.tokens.introspection.introspector import introspected
from policyd.tokens.jws import Header
from policyd.tokens.model import ResourceServer, VerifiedToken
from policyd.tokens.refusals import TokenBindingInvalid, TokenTypeRefused
from policyd.tokens.steps import Candidate
from policyd.tokens.trust import Issuer, Trust

#: An opaque token has no header: no algorithm, no key.
_NO_HEADER: Final = Header(algorithm="", key_id=None, type=None, parameters={})
_BEARER: Final = "bearer"
_DPOP: Final = "dpop"


def check_token_type(claims: Mapping[str, Json], *, may_be_missing: bool) -> None:
    """It is an access token: `token_type` says so (RFC 7662, section 2.2; RFC 6749, section 7.1).

    A refresh token can be active too. One of the type DPoP is bound to a key, and a response that
    does not tell which must not make a bearer token of it (RFC 9449, section 6.2).
    """
    token_type = claims.get("token_type")
    if token_type is None and may_be_missing:
        return
    kind = token_type.lower() if isinstance(token_type, str) else ""
    if kind not in (_BEARER, _DPOP):
        found = quote_member(claims, "token_type", "token_type")
        raise TokenTypeRefused(
            f"the issuer's `token_type` is {found}, expected Bearer or DPoP: nothing "
            "says that it is an access token (see `access_tokens_only`)"
        )
    if kind == _DPOP and "cnf" not in claims:
        raise TokenBindingInvalid("the token is bound to a key, and the issuer did not say which")


class IntrospectedToken(VerifiedToken, frozen=True, eq=False):
    """A token that its issuer called active. `known_until`: until when that is remembered."""

    known_until: float = 0.0


def introspecting_issuer(candidate: Candidate) -> Issuer | None:
    """Return the issuer to ask about a token, `None` if the token is not to be introspected.

    Only tokens without dots are: a text with dots is a JWT or malformed.
    """
    text, trust = candidate.text, candidate.trust
    if "." in text or not 0 < len(text) <= trust.max_token_bytes:
        return None
    return _asked_for(trust, candidate.api)


def verify_introspected(
    candidate: Candidate,
    issuer: Issuer,
    digest: bytes,
    steps: Iterable[Callable[[Candidate], None]],
) -> IntrospectedToken:
    """Verify an opaque token by these steps, `digest` is the SHA-256 of its text.

    Raises `TokenRefused` and `TokenPending`.
    """
    introspector = issuer.introspector
    assert introspector is not None, "an introspecting issuer has an introspector"
    answer = introspector.look_up(candidate.text, digest, candidate.now)
    candidate.issuer = msgspec.structs.replace(issuer, dialect=introspected(issuer.dialect))
    candidate.header = _NO_HEADER
    candidate.claims = answer.value
    check_token_type(candidate.claims, may_be_missing=introspector.settings.access_tokens_only)
    for step in steps:
        step(candidate)
    facts = msgspec.structs.asdict(candidate.token)
    return IntrospectedToken(**{**facts, "known_until": answer.until})


def _asked_for(trust: Trust, api: ResourceServer) -> Issuer | None:
    for issuer in trust.issuers.values():
        if issuer.introspector is not None:
            apis = issuer.settings.apis
            if apis is None or api.name in apis:
                return issuer
    return None
