"""The answer of a policy enforcement point to its caller: status, `WWW-Authenticate`, message.

The messages are fixed, one for each class of failure: a caller with an invalid token learns what a
valid one would need, and nothing about the check that failed. The header contains nothing of a
token, and of the policy only the API's name, declared scopes and the named logins.

Headers are cached: they depend on policies and configuration, and never on a token.

Sources: RFC 6750, section 3; RFC 9449, section 7.1; RFC 9470, section 3; RFC 9728, section 5.1; RFC
9110, section 11.6.1 for the syntax. No RFC says yet how to tell of a missing authorization detail:
that is draft-zehavi-oauth-rar-metadata, an individual draft, and off by default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from functools import lru_cache
from typing import Literal

import msgspec

from policyd.language.policy import Api
from policyd.reasons import Reason
from policyd.tokens.model import NO_PROOF, SenderProof, VerifiedToken

#: How a token is presented: the scheme of the header field `Authorization`.
Scheme = Literal["Bearer", "DPoP"]


class Protection(msgspec.Struct, frozen=True):
    """The challenges of an API. `realm` is the API's name.

    `schemes` are those offered to a caller who brought no token, the usual one first.
    `dpop_algorithms` are what DPoP proofs may be signed with. `metadata` is the URL of the API's
    metadata, empty where none is told. `tells_details` is whether a challenge says that the token
    lacks an authorization detail. `base_scopes` are those that a caller is told to ask for where
    its question tells none.
    """

    realm: str
    schemes: tuple[Scheme, ...] = ("Bearer",)
    dpop_algorithms: tuple[str, ...] = ()
    metadata: str = ""
    tells_details: bool = False
    base_scopes: tuple[str, ...] = ()


class Challenge(msgspec.Struct, frozen=True, gc=False):
    """An HTTP status, the header field `WWW-Authenticate` (empty: none), and `Retry-After`."""

    status: int
    www_authenticate: str = ""
    retry_after: int | None = None


class Challenger:
    """Makes the challenges of APIs for the engine. This implementation asks for a bearer token, and
    for nothing else."""

    def protection(self, api: Api) -> Protection:
        """Return how an API wants to be called; asked at a load, and when settings change."""
        return Protection(api.name)

    def dpop_nonce(self, now: float) -> str | None:  # noqa: ARG002 - others need the time
        """Return what the next proof of a token bound by DPoP needs, if anything (RFC 9449)."""
        return None


#: Seconds to wait for what verification needs where the validator does not say how long.
_KEYS_RETRY_AFTER = 5

#: Reasons that tell of the daemon's own troubles, and nothing of the token.
_KEYS_REASONS = frozenset(
    {
        Reason.KEYS_REFRESHING,
        Reason.KEYS_UNAVAILABLE,
        Reason.REVOCATIONS_UNAVAILABLE,
        Reason.INTROSPECTION_UNAVAILABLE,
    }
)

_RULE_MESSAGES = {
    Reason.ALLOWED: "",
    Reason.NO_RULE_ALLOWS: "no rule allows this",
    Reason.DENIED_BY_RULE: "a rule denies this",
    Reason.INSUFFICIENT_SCOPE: "the access token lacks a scope",
    Reason.INSUFFICIENT_AUTHORIZATION_DETAILS: "the access token lacks an authorization detail",
    Reason.LOG_UNAVAILABLE: "decisions cannot be recorded at the moment",
    Reason.UNDECIDED: "this depends on what is assumed unknown",
    Reason.INSUFFICIENT_USER_AUTHENTICATION: "this needs a stronger or more recent login",
}
#: How many headers of a kind are remembered.
_REMEMBERED = 1024
_NO_TOKEN = "an access token is needed"
_BAD_TOKEN = "the access token is expired, revoked, malformed or not meant for this API"
_NO_KEYS = "the access token cannot be verified at the moment"
_BAD_PROOF = "the DPoP proof is malformed, out of date, used before, or made for another request"
_NO_NONCE = "the DPoP proof needs the nonce that comes with this answer"

#: Error codes of challenges (RFC 6750, section 3.1; RFC 9449, section 7.1), and what they say.
_DESCRIPTIONS = {
    "invalid_token": _BAD_TOKEN,
    "invalid_dpop_proof": _BAD_PROOF,
    "use_dpop_nonce": _NO_NONCE,
}
#: The error code of a refusal that is the daemon's trouble; no challenge bears it.
_UNAVAILABLE = "temporarily_unavailable"

#: Characters of a scope-token (RFC 6749, section 3.3), which an acr value in a list has to keep to.
_LISTABLE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def message(reason: Reason, error: str = "invalid_token") -> str:
    """Return the text for people that goes with a reason, where no rule brings its own.

    `error` is the error code of a refused token.
    """
    if reason in _RULE_MESSAGES:
        return _RULE_MESSAGES[reason]
    if reason in _KEYS_REASONS or error == _UNAVAILABLE:
        return _NO_KEYS
    return _NO_TOKEN if reason is Reason.TOKEN_MISSING else _DESCRIPTIONS[error]


def scheme(
    protection: Protection, token: VerifiedToken | None, proof: SenderProof = NO_PROOF
) -> Scheme:
    """Return how a token was presented, as far as it shows, or should have been."""
    binding = None if token is None else token.binding
    if proof.dpop_proofs or (binding is not None and binding.method == "dpop"):
        return "DPoP"
    return protection.schemes[0]


@lru_cache(_REMEMBERED)
def for_token(
    protection: Protection,
    reason: Reason,
    retry_after: int | None,
    scheme: Scheme = "Bearer",
    error: str = "invalid_token",
    scopes: tuple[str, ...] = (),
) -> Challenge:
    """Answer a token that was refused. Keys and lists out of reach are no fault of the token.

    `scheme` is how the token was presented, `error` the error code of the refusal. `scopes` are
    what a token needs for what was asked; without any, the API's base scopes are named.
    """
    if reason in _KEYS_REASONS or error == _UNAVAILABLE:
        return Challenge(503, "", _KEYS_RETRY_AFTER if retry_after is None else retry_after)
    scope = _listed(scopes or protection.base_scopes)
    if reason is Reason.TOKEN_MISSING:
        offers = (_written(protection, offered, scope=scope) for offered in protection.schemes)
        return Challenge(401, ", ".join(offers))
    said = _DESCRIPTIONS[error]
    header = _written(protection, scheme, error=error, error_description=said, scope=scope)
    return Challenge(401, header)


@lru_cache(_REMEMBERED)
def for_scopes(
    protection: Protection, scopes: tuple[str, ...], scheme: Scheme = "Bearer"
) -> Challenge:
    """Answer a token that lacks scopes."""
    header = _written(protection, scheme, error="insufficient_scope", scope=_listed(scopes))
    return Challenge(403, header)


@lru_cache(_REMEMBERED)
def for_login(
    protection: Protection,
    acr_values: tuple[str, ...],
    max_age: int | None,
    scheme: Scheme = "Bearer",
) -> Challenge:
    """Answer a login that is too weak or too old; `max_age` is in seconds."""
    header = _written(
        protection,
        scheme,
        error="insufficient_user_authentication",
        error_description=_RULE_MESSAGES[Reason.INSUFFICIENT_USER_AUTHENTICATION],
        acr_values=_listed(acr_values),
        max_age="" if max_age is None else str(max_age),
    )
    return Challenge(401, header)


@lru_cache(_REMEMBERED)
def for_detail(protection: Protection, scheme: Scheme = "Bearer") -> Challenge:
    """Answer a token that lacks an authorization detail; which one, only the rules say."""
    if not protection.tells_details:
        return FORBIDDEN
    header = _written(
        protection,
        scheme,
        error="insufficient_authorization_details",
        error_description=_RULE_MESSAGES[Reason.INSUFFICIENT_AUTHORIZATION_DETAILS],
    )
    return Challenge(403, header)


#: A deny by rules that nothing the caller could bring along would change.
FORBIDDEN = Challenge(403)


def _listed(values: Iterable[str]) -> str:
    return " ".join(value for value in values if _LISTABLE.fullmatch(value))


def _written(protection: Protection, scheme: Scheme, **parameters: str) -> str:
    """Write a challenge; parameters without a value are left out."""
    given = {"realm": protection.realm, **parameters}
    if scheme == "DPoP":
        given["algs"] = " ".join(protection.dpop_algorithms)
    given["resource_metadata"] = protection.metadata
    written = ", ".join(f"{name}={_quoted(text)}" for name, text in given.items() if text)
    return f"{scheme} {written}"


def _quoted(text: str) -> str:
    """Write a quoted-string (RFC 9110, section 5.6.4); what may not stand in one is left out."""
    kept = "".join(character for character in text if " " <= character <= "~")
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"'
