"""What a policy enforcement point answers its own caller: status, `WWW-Authenticate`, message.

The words are fixed, one message for each class of failure: whoever presents a bad token learns what
a good one would need, and nothing about which check stopped it. Nothing of a token and no text of a
policy reaches the header, but for the API's name, declared scopes and the named logins.

Sources: RFC 6750, section 3; RFC 9470, section 3; RFC 9110, section 11.6.1 for the syntax.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import msgspec

from policyd.reasons import Reason


class Challenge(msgspec.Struct, frozen=True, gc=False):
    """An HTTP status, the header field `WWW-Authenticate` (empty: none), and `Retry-After`."""

    status: int
    www_authenticate: str = ""
    retry_after: int | None = None


#: Seconds to wait for an issuer's keys where the validator does not say how long.
_KEYS_RETRY_AFTER = 5

_KEYS_REASONS = frozenset({Reason.KEYS_REFRESHING, Reason.KEYS_UNAVAILABLE})

_RULE_MESSAGES = {
    Reason.ALLOWED: "",
    Reason.NO_RULE_ALLOWS: "no rule allows this",
    Reason.DENIED_BY_RULE: "a rule denies this",
    Reason.INSUFFICIENT_SCOPE: "the access token lacks a scope",
    Reason.INSUFFICIENT_USER_AUTHENTICATION: "this needs a stronger or more recent login",
}
_NO_TOKEN = "an access token is needed"
_BAD_TOKEN = "the access token is expired, revoked, malformed or not meant for this API"
_NO_KEYS = "the access token cannot be verified at the moment"

#: Characters of a scope-token (RFC 6749, section 3.3), which an acr value in a list has to keep to.
_LISTABLE = re.compile(r"[\x21\x23-\x5b\x5d-\x7e]+")


def message(reason: Reason) -> str:
    """Return the text for people that goes with a reason, where no rule brings its own."""
    if reason in _RULE_MESSAGES:
        return _RULE_MESSAGES[reason]
    if reason in _KEYS_REASONS:
        return _NO_KEYS
    return _NO_TOKEN if reason is Reason.TOKEN_MISSING else _BAD_TOKEN


def for_token(api: str, reason: Reason, retry_after: int | None) -> Challenge:
    """Answer a token that was refused. Keys that are out of reach are no fault of the token."""
    if reason in _KEYS_REASONS:
        return Challenge(503, "", _KEYS_RETRY_AFTER if retry_after is None else retry_after)
    if reason is Reason.TOKEN_MISSING:
        return Challenge(401, _bearer(api))
    return Challenge(401, _bearer(api, error="invalid_token", error_description=_BAD_TOKEN))


def for_scopes(api: str, scopes: Iterable[str]) -> Challenge:
    """Answer a token that lacks scopes."""
    header = _bearer(api, error="insufficient_scope", scope=_listed(scopes))
    return Challenge(403, header)


def for_login(api: str, acr_values: Iterable[str], max_age: int | None) -> Challenge:
    """Answer a login that is too weak or too old; `max_age` is in seconds."""
    header = _bearer(
        api,
        error="insufficient_user_authentication",
        error_description=_RULE_MESSAGES[Reason.INSUFFICIENT_USER_AUTHENTICATION],
        acr_values=_listed(acr_values),
        max_age="" if max_age is None else str(max_age),
    )
    return Challenge(401, header)


#: A deny by rules that nothing the caller could bring along would change.
FORBIDDEN = Challenge(403)
PERMITTED = Challenge(200)


def _listed(values: Iterable[str]) -> str:
    return " ".join(value for value in values if _LISTABLE.fullmatch(value))


def _bearer(realm: str, **parameters: str) -> str:
    """Write a Bearer challenge; parameters without a value are left out."""
    given = {"realm": realm, **parameters}
    return "Bearer " + ", ".join(f"{name}={_quoted(text)}" for name, text in given.items() if text)


def _quoted(text: str) -> str:
    """Write a quoted-string (RFC 9110, section 5.6.4); what may not stand in one is left out."""
    kept = "".join(character for character in text if " " <= character <= "~")
    return '"' + kept.replace("\\", "\\\\").replace('"', '\\"') + '"'
