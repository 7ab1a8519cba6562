"""Why a token is refused: one exception class a reason.

`str(refusal)` is the detail for the decision log and `policyd token inspect`: what was expected,
what was found, what to do. It is never meant for the sender of the token. `details` says how a
detail quotes a token.
"""

from __future__ import annotations

from typing import ClassVar

from policyd.errors import PolicydError
from policyd.tokens.details import unmarked
from policyd.tokens.model import VerifiedToken


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
        super().__init__(unmarked(detail))
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
