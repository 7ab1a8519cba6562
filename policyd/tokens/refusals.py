"""Why a token is refused: one exception class a reason.

`str(refusal)` is the detail for the decision log and `policyd token inspect`: what was expected,
what was found, what to do. It is never meant for whoever sent the token. Whatever a detail quotes
of a token has gone through `cited`, which shows it and marks of which claims it is a value, so that
a log can mask it (`masked_detail`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from typing import ClassVar

from policyd.errors import PolicydError
from policyd.json_types import Json
from policyd.tokens.model import VerifiedToken

_SHOWN_CHARACTERS = 80


def shown(value: object) -> str:
    """Return `value` for a log: escaped, ASCII only, cut to 80 characters.

    Text stands in single quotes; whatever else JSON knows stands as JSON writes it.
    """
    # JSON may leave DEL as it is.
    text = value if isinstance(value, str) else json.dumps(value).replace("\x7f", r"\u007f")
    cut = text[:_SHOWN_CHARACTERS]
    shortened = ascii(cut) if isinstance(value, str) else cut
    return shortened + ("..." if len(text) > _SHOWN_CHARACTERS else "")


def shown_path(path: str) -> str:
    """Return the path of a file for a log, whole: what tells files apart stands at the end."""
    return ascii(path)


def shown_member(members: Mapping[str, Json], name: str) -> str:
    """Return a member of an object as `shown` does, `nothing` where it is missing."""
    return shown(members[name]) if name in members else "nothing"


# A mark: begin, names of claims with a separator between, the text, end. All four are controls,
# which `shown` never writes, so no value can begin or end one.
_BEGIN, _SEPARATOR, _TEXT, _END = "\x02", "\x1e", "\x1f", "\x03"
_MARKED = re.compile(f"{_BEGIN}([^{_TEXT}]*){_TEXT}([^{_END}]*){_END}")


def cited(value: object, *claims: str) -> str:
    """Return `shown(value)` for a detail, marked as a value of these claims of the token."""
    return marked(shown(value), *claims)


def marked(text: str, *claims: str) -> str:
    """Return text for a detail, marked as telling values of these claims; none means any.

    Beside claims, facts that policies read may be named: `token.subject`.
    """
    return f"{_BEGIN}{_SEPARATOR.join(claims)}{_TEXT}{text}{_END}"


def masked_detail(detail: str, covers: Callable[[Sequence[str]], bool], mask: str) -> str:
    """Return the marked text of a refusal with `mask` for what tells values of claims covered.

    `covers` is asked with the names of each mark, as `marked` was given them.
    """

    def shown_or_masked(match: re.Match[str]) -> str:
        return mask if covers([*filter(None, match[1].split(_SEPARATOR))]) else match[2]

    return _MARKED.sub(shown_or_masked, detail)


class TokenRefused(PolicydError):
    """A token failed validation. `reason` is a name of CONTRACT's list of reasons.

    `token` is set when signature and kind held and the claims could be read, so that a log may name
    the subject. `unverified_issuer` and `unverified_key_id` are what the token says of itself,
    escaped and cut, where it could be read that far. `retry_after` is in seconds, set where the
    same token may be accepted later without anyone doing anything. `error_code` is what a challenge
    calls the failure (RFC 6750, section 3.1; RFC 9449, section 7.1). `marked_detail` is the detail
    for `masked_detail`; as text the refusal has no marks.
    """

    reason: ClassVar[str]
    error_code: ClassVar[str] = "invalid_token"

    def __init__(self, detail: str, *, retry_after: int | None = None) -> None:
        super().__init__(_MARKED.sub(r"\2", detail))
        self.marked_detail = detail
        self.retry_after = retry_after
        self.token: VerifiedToken | None = None
        self.unverified_issuer: str | None = None
        self.unverified_key_id: str | None = None


class TokenMissing(TokenRefused):
    """There is no token."""

    reason = "TOKEN_MISSING"


class TokenMalformed(TokenRefused):
    """The bytes are not one strict JWS in compact serialisation (RFC 7515, section 3.1)."""

    reason = "TOKEN_MALFORMED"


class TokenTooLarge(TokenRefused):
    """The token is longer than the configured limit."""

    reason = "TOKEN_TOO_LARGE"


class TokenEncrypted(TokenRefused):
    """Five segments: a JWE (RFC 7516), which policyd does not decrypt."""

    reason = "TOKEN_ENCRYPTED"


class IdTokenRefused(TokenRefused):
    """An ID token: it tells an application who logged in, and opens no API."""

    reason = "ID_TOKEN"


class TokenTypeRefused(TokenRefused):
    """Neither an access token nor an ID token: a logout token, a refresh token, a proof."""

    reason = "TOKEN_TYPE"


class AlgorithmNotAllowed(TokenRefused):
    """The algorithm is not in the issuer's list, or is not the one bound to the key."""

    reason = "ALGORITHM_NOT_ALLOWED"


class IssuerUnknown(TokenRefused):
    """The issuer is not configured, or may not speak for the API asked about."""

    reason = "ISSUER_UNKNOWN"


class KeyUnknown(TokenRefused):
    """No key of the issuer fits, and a look at its current keys has shown it."""

    reason = "KEY_UNKNOWN"


class KeysRefreshing(TokenRefused):
    """No key fits as yet; the issuer's keys are being fetched."""

    reason = "KEYS_REFRESHING"


class KeysUnavailable(TokenRefused):
    """The issuer's keys were never fetched, or are too old to be trusted."""

    reason = "KEYS_UNAVAILABLE"


class SignatureInvalid(TokenRefused):
    """The signature does not belong to these bytes and this key."""

    reason = "SIGNATURE_INVALID"


class TokenExpired(TokenRefused):
    """`exp` has passed, or the token is older than `max_token_age`."""

    reason = "TOKEN_EXPIRED"


class TokenNotYetValid(TokenRefused):
    """`nbf` or `iat` lies in the future."""

    reason = "TOKEN_NOT_YET_VALID"


class AudienceMismatch(TokenRefused):
    """The token was issued for other APIs."""

    reason = "AUDIENCE_MISMATCH"


class ClaimMissing(TokenRefused):
    """A claim that the pipeline or the dialect requires is not there."""

    reason = "CLAIM_MISSING"


class ClaimInvalid(TokenRefused):
    """A claim has another type or form than the standards or the dialect give it."""

    reason = "CLAIM_INVALID"


class TokenRevoked(TokenRefused):
    """The token, or all of its subject, client, session or organisation, was revoked."""

    reason = "TOKEN_REVOKED"


class RevocationsUnavailable(TokenRefused):
    """The revocation list was never loaded, or is too old to be relied on."""

    reason = "REVOCATIONS_UNAVAILABLE"


class TokenInactive(TokenRefused):
    """The issuer says that the opaque token is not active (RFC 7662, section 2.2)."""

    reason = "TOKEN_INACTIVE"


class IntrospectionUnavailable(TokenRefused):
    """The issuer could not be asked about the opaque token. No fault of the token."""

    reason = "INTROSPECTION_UNAVAILABLE"


class TokenBindingInvalid(TokenRefused):
    """The token is bound to a sender (`cnf`) that did not show itself, or should be and is not."""

    reason = "TOKEN_BINDING_INVALID"


class DpopProofInvalid(TokenBindingInvalid):
    """The DPoP proof itself fails a check of RFC 9449, section 4.3."""

    error_code = "invalid_dpop_proof"


class DpopNonceNeeded(TokenBindingInvalid):
    """The DPoP proof lacks a nonce of policyd's that still counts (RFC 9449, section 9)."""

    error_code = "use_dpop_nonce"


class DpopProofsExhausted(TokenBindingInvalid):
    """No more proofs can be remembered for now, so none is accepted. No fault of this proof."""

    error_code = "temporarily_unavailable"
