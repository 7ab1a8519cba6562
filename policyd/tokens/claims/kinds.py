"""Access token, ID token, or something else.

An ID token tells an application who logged in; taken for an access token it would open every API
to the application that signs people in. Two independent layers tell them apart. Each dialect
requires its own positive mark of an access token; and everything that only an ID token contains
refuses a token, with or without the mark.
(OpenID Connect Core 1.0, sections 2 and 3.3.2.11; RFC 9068, sections 2.1 and 4; RFC 8725, 3.11.)
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from policyd.json_types import Json
from policyd.tokens.details import parameter, quote
from policyd.tokens.jws import Header
from policyd.tokens.refusals import IdTokenRefused, TokenTypeRefused
from policyd.tokens.settings.dialect import Dialect, described, one_holds

Claims = Mapping[str, Json]

_ACCESS_TOKEN: Final = "at+jwt"
_USABLE_TYPES: Final = (None, "jwt", _ACCESS_TOKEN)
_ID_TOKEN_HASHES: Final = frozenset(("at_hash", "c_hash", "s_hash"))
# What some issuers write into a claim `typ`, in lower case.
_OTHER_PAYLOAD_TYPES: Final = ("refresh", "offline", "logout")
#: Signed JWTs that are no access tokens, by `typ` in lower case, and where each of them belongs.
OTHER_TYPES: Final[Mapping[str, str]] = {
    "oauth-id-jag+jwt": (
        "an ID-JAG (identity assertion authorization grant) is no access token; the application "
        "exchanges it for one at the token endpoint of the API's authorization server, with the "
        "grant type urn:ietf:params:oauth:grant-type:jwt-bearer, and sends that"
    ),
    "dpop+jwt": (
        "a DPoP proof is no access token; it belongs in the header field `DPoP`, beside the token "
        "in `Authorization` (RFC 9449, section 7.1)"
    ),
    "logout+jwt": (
        "a logout token is no access token; it is for the back-channel logout endpoint of an "
        "application (OpenID Connect Back-Channel Logout 1.0)"
    ),
    "secevent+jwt": "a security event is no access token; it is for receivers of events (RFC 8417)",
    "token-introspection+jwt": (
        "an answer of token introspection is no access token; it tells a resource server about one "
        "(RFC 9701)"
    ),
    "oauth-authz-req+jwt": (
        "a request object is no access token; an application sends it to the authorization "
        "endpoint to ask for one (RFC 9101)"
    ),
    "client-authentication+jwt": (
        "a client assertion is no access token; an application shows with it at the "
        "token endpoint who it is, to get one (RFC 7523)"
    ),
    "oauth-client-attestation+jwt": (
        "a client attestation is no access token; an application shows it at the token endpoint, "
        "to get one"
    ),
    "oauth-client-attestation-pop+jwt": (
        "the proof of a client attestation is no access token; an application shows it at the "
        "token endpoint, to get one"
    ),
    "entity-statement+jwt": (
        "an entity statement is no access token; it is metadata of OpenID Federation 1.0"
    ),
    "txntoken+jwt": (
        "a transaction token is no access token; it is for services behind the one that the access "
        "token was sent to"
    ),
    "kb+jwt": "the proof of a credential's holder is no access token; it is for a verifier",
    "vc+jwt": "a verifiable credential is no access token; it is for a verifier",
    "vc+sd-jwt": "a verifiable credential is no access token; it is for a verifier",
    "dc+sd-jwt": "a verifiable credential is no access token; it is for a verifier",
    "vp+jwt": "a presentation of credentials is no access token; it is for a verifier",
    "statuslist+jwt": "a status list is no access token; it tells which tokens were revoked",
}
# OpenID Connect Core 1.0, section 5.1, without `sub`, which access tokens have too.
_PROFILE_CLAIMS: Final = frozenset(
    (
        "name",
        "given_name",
        "family_name",
        "middle_name",
        "nickname",
        "preferred_username",
        "profile",
        "picture",
        "website",
        "email",
        "email_verified",
        "gender",
        "birthdate",
        "zoneinfo",
        "locale",
        "phone_number",
        "phone_number_verified",
        "address",
        "updated_at",
    )
)
# Okta begins the `jti` of ID tokens with it, and that of access tokens with `AT.`.
_ID_TOKEN_ID: Final = "ID."
_ADVICE: Final = "send the access token instead: an ID token is for the application alone"


def check_kind(dialect: Dialect, header: Header, claims: Claims) -> None:
    """Check that this is an access token, as the dialect marks them.

    Raises `IdTokenRefused`, or `TokenTypeRefused` for what is neither.
    """
    if header.type not in _USABLE_TYPES:
        meant = OTHER_TYPES.get(header.type or "")
        raise TokenTypeRefused(
            f"the header's `typ` is {parameter(header.parameters['typ'])}"
            + ("; an access token has at+jwt, JWT or none" if meant is None else f": {meant}")
        )
    if "events" in claims:
        raise TokenTypeRefused("the token has `events`: it is a logout token or a security event")
    _refuse_id_tokens(claims)
    decisive = dialect.decisive or dialect.at_jwt
    if not decisive and header.type != _ACCESS_TOKEN:
        _refuse_what_looks_like_one(dialect, claims)
    if not _bears_the_mark(dialect, header, claims):
        if _has_the_shape_of_one(dialect, claims):
            raise IdTokenRefused(
                f"the token lacks {mark_of(dialect)}, and has the shape of an ID token; {_ADVICE}"
            )
        raise TokenTypeRefused(
            f"the token lacks what marks an access token of this dialect: {mark_of(dialect)}; "
            "check the issuer's `dialect`"
        )


def mark_of(dialect: Dialect) -> str:
    """Return what every access token of a dialect bears, in words."""
    parts: list[str] = []
    if dialect.at_jwt:
        parts.append("the header's `typ` at+jwt")
    if dialect.client_outside_audience:
        names = " or ".join(f"`{name}`" for name in dialect.client)
        parts.append(f"{names} that is no audience")
    if dialect.marks:
        *others, last = map(described, dialect.marks)
        parts.append(f"{', '.join(others)} or {last}" if others else last)
    return ", and ".join(parts)


def _bears_the_mark(dialect: Dialect, header: Header, claims: Claims) -> bool:
    if dialect.at_jwt and header.type != _ACCESS_TOKEN:
        return False
    if dialect.client_outside_audience and not _client_is_no_audience(dialect, claims):
        return False
    return (
        not dialect.sole_marks.isdisjoint(claims)
        or not dialect.marks
        or one_holds(dialect.marks, claims)
    )


def _client_is_no_audience(dialect: Dialect, claims: Claims) -> bool:
    audience = _audience(claims)
    named = False
    for name in dialect.client:
        if name in claims:
            client = claims[name]
            if not isinstance(client, str) or client in audience:
                return False
            named = True
    return named


def _refuse_id_tokens(claims: Claims) -> None:
    if not _ID_TOKEN_HASHES.isdisjoint(claims):
        names = ", ".join(sorted(_ID_TOKEN_HASHES.intersection(claims)))
        raise IdTokenRefused(f"the token has `{names}`: it is an ID token; {_ADVICE}")
    if claims.get("token_use") == "id":
        raise IdTokenRefused(f"the token's `token_use` is id; {_ADVICE}")
    token_id = claims.get("jti")
    if isinstance(token_id, str) and token_id.startswith(_ID_TOKEN_ID):
        raise IdTokenRefused(f"the token's `jti` begins with {_ID_TOKEN_ID}; {_ADVICE}")
    payload_type = claims.get("typ")
    if isinstance(payload_type, str):
        _refuse_payload_type(payload_type)


def _refuse_payload_type(payload_type: str) -> None:
    if payload_type.lower() == "id":
        raise IdTokenRefused(f"the claim `typ` is ID; {_ADVICE}")
    if payload_type.lower() in _OTHER_PAYLOAD_TYPES:
        found = quote(payload_type, "typ")
        raise TokenTypeRefused(f"the claim `typ` is {found}: it is no access token")


def _refuse_what_looks_like_one(dialect: Dialect, claims: Claims) -> None:
    if "nonce" in claims:
        raise IdTokenRefused(f"the token has `nonce`: it is an ID token; {_ADVICE}")
    client = _client_in_audience(dialect, claims)
    if client is not None:
        found = quote(client, "aud", *dialect.client, "token.client")
        raise IdTokenRefused(
            f"the token's own application {found} is its audience: it is an ID token; {_ADVICE}"
        )
    if not _PROFILE_CLAIMS.isdisjoint(claims) and _names_no_client(dialect, claims):
        # Its audience may be its application: nothing in it says otherwise.
        names = ", ".join(sorted(_PROFILE_CLAIMS.intersection(claims)))
        raise IdTokenRefused(
            f"the token names no application, and tells of a person (`{names}`): "
            f"it may be an ID token; {_ADVICE}"
        )


def _has_the_shape_of_one(dialect: Dialect, claims: Claims) -> bool:
    if "nonce" in claims:
        return True
    tells_of_a_person = not _PROFILE_CLAIMS.isdisjoint(claims)
    return len(_audience(claims)) == 1 and (
        tells_of_a_person or _client_in_audience(dialect, claims) is not None
    )


def _names_no_client(dialect: Dialect, claims: Claims) -> bool:
    return not any(name in claims for name in dialect.naming_claims)


def _client_in_audience(dialect: Dialect, claims: Claims) -> str | None:
    audience = _audience(claims)
    for name in dialect.naming_claims:
        if name in claims:
            client = claims[name]
            if isinstance(client, str) and client in audience:
                return client
    return None


def _audience(claims: Claims) -> list[Json]:
    value = claims.get("aud")
    if isinstance(value, list):
        return value
    return [] if value is None else [value]
