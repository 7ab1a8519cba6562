"""Access token, ID token, or something else.

An ID token tells an application who logged in; taken for an access token it would open every API
to whoever signs people in. Two independent layers tell them apart. Each dialect demands its own
positive mark of an access token, and whatever only an ID token carries refuses, mark or no mark.
(OpenID Connect Core 1.0, sections 2 and 3.3.2.11; RFC 9068, sections 2.1 and 4; RFC 8725, 3.11.)
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Final

import msgspec

from policyd.tokens.jws import Header
from policyd.tokens.model import Json
from policyd.tokens.refusals import IdTokenRefused, TokenTypeRefused, shown

Claims = Mapping[str, Json]

_ACCESS_TOKEN: Final = "at+jwt"
_USABLE_TYPES: Final = (None, "jwt", _ACCESS_TOKEN)
_ID_TOKEN_HASHES: Final = frozenset(("at_hash", "c_hash", "s_hash"))
# What some issuers write into a claim `typ`, in lower case.
_OTHER_PAYLOAD_TYPES: Final = ("refresh", "offline", "logout")
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
# What names the application that the token was issued to. `azp` is an ID token's claim first.
_CLIENT_CLAIMS: Final = ("azp", "client_id")
_ADVICE: Final = "send the access token instead: an ID token is for the application alone"


class Mark(msgspec.Struct, frozen=True):
    """What every access token of a dialect carries. `decisive`: no ID token ever does."""

    text: str
    stands: Callable[[Header, Claims], bool]
    decisive: bool


def _is_at_jwt(header: Header, claims: Claims) -> bool:  # noqa: ARG001 (one signature for all)
    return header.type == _ACCESS_TOKEN


def _is_auth0(header: Header, claims: Claims) -> bool:  # noqa: ARG001
    client = claims.get("azp")
    return (
        isinstance(client, str)
        and client not in _audience(claims)
        and ("scope" in claims or "permissions" in claims or "gty" in claims)
    )


def _is_oidc(header: Header, claims: Claims) -> bool:  # noqa: ARG001
    return "scope" in claims or "scp" in claims or "client_id" in claims


AT_JWT: Final = Mark("the header's `typ` at+jwt", _is_at_jwt, decisive=True)
AUTH0: Final = Mark(
    "`azp` that is no audience, and `scope`, `permissions` or `gty`", _is_auth0, decisive=False
)
OIDC: Final = Mark("`scope`, `scp` or `client_id`", _is_oidc, decisive=False)


def check_kind(mark: Mark, header: Header, claims: Claims) -> None:
    """Check that this is an access token.

    Raises `IdTokenRefused`, or `TokenTypeRefused` for what is neither.
    """
    if header.type not in _USABLE_TYPES:
        raise TokenTypeRefused(
            f"the header's `typ` is {shown(header.parameters['typ'])}; "
            "an access token has at+jwt, JWT or none"
        )
    if "events" in claims:
        raise TokenTypeRefused("the token has `events`: it is a logout token or a security event")
    _refuse_id_tokens(claims)
    if not mark.decisive and header.type != _ACCESS_TOKEN:
        _refuse_what_looks_like_one(claims)
    if not mark.stands(header, claims):
        if _has_the_shape_of_one(claims):
            raise IdTokenRefused(
                f"the token lacks {mark.text}, and has the shape of an ID token; {_ADVICE}"
            )
        raise TokenTypeRefused(
            f"the token lacks what marks an access token of this dialect: {mark.text}; "
            "check the issuer's `dialect`"
        )


def _refuse_id_tokens(claims: Claims) -> None:
    if not _ID_TOKEN_HASHES.isdisjoint(claims):
        names = ", ".join(sorted(_ID_TOKEN_HASHES.intersection(claims)))
        raise IdTokenRefused(f"the token has `{names}`: it is an ID token; {_ADVICE}")
    if claims.get("token_use") == "id":
        raise IdTokenRefused(f"the token's `token_use` is id; {_ADVICE}")
    payload_type = claims.get("typ")
    if isinstance(payload_type, str):
        _refuse_payload_type(payload_type)


def _refuse_payload_type(payload_type: str) -> None:
    if payload_type.lower() == "id":
        raise IdTokenRefused(f"the claim `typ` is ID; {_ADVICE}")
    if payload_type.lower() in _OTHER_PAYLOAD_TYPES:
        raise TokenTypeRefused(f"the claim `typ` is {shown(payload_type)}: it is no access token")


def _refuse_what_looks_like_one(claims: Claims) -> None:
    if "nonce" in claims:
        raise IdTokenRefused(f"the token has `nonce`: it is an ID token; {_ADVICE}")
    client = _client_in_audience(claims)
    if client is not None:
        raise IdTokenRefused(
            f"the token's own application {shown(client)} is its audience: "
            f"it is an ID token; {_ADVICE}"
        )


def _has_the_shape_of_one(claims: Claims) -> bool:
    return len(_audience(claims)) == 1 and (
        not _PROFILE_CLAIMS.isdisjoint(claims) or _client_in_audience(claims) is not None
    )


def _client_in_audience(claims: Claims) -> str | None:
    audience = _audience(claims)
    for name in _CLIENT_CLAIMS:
        client = claims.get(name)
        if isinstance(client, str) and client in audience:
            return client
    return None


def _audience(claims: Claims) -> list[Json]:
    value = claims.get("aud")
    if isinstance(value, list):
        return value
    return [] if value is None else [value]
