"""Dialects: how each make of issuer writes down what OAuth means.

In comes a payload; out goes a `VerifiedToken`, in which every issuer's token has the same names.
A dialect is a row of `TABLE`; another one is another row. Nothing here looks at clocks or keys.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Final, Literal

import msgspec

from policyd.tokens import kinds
from policyd.tokens.audiences import Audience, read_audience
from policyd.tokens.issuers import canonical_algorithm
from policyd.tokens.jws import Header, compared_type
from policyd.tokens.kinds import Mark
from policyd.tokens.model import Json, SubjectKind, VerifiedToken
from policyd.tokens.refusals import ClaimInvalid, ClaimMissing, shown
from policyd.tokens.times import Times, read_times

Claims = Mapping[str, Json]

DEEPEST_ACTOR: Final = 5


class Dialect(msgspec.Struct, frozen=True, kw_only=True):
    """One row of the table.

    `mark` is what makes an access token; `client` the claims that name the application, which must
    agree where several are there; `permissions` the claim for what the user may do, if any;
    `required` the claims that every token has. `user_subject` tells of a `sub` that can only be a
    person's, `application_suffix` is what follows the client's id in a `sub` that is the
    application's own.
    """

    mark: Mark
    client: tuple[str, ...]
    permissions: str | None = None
    required: frozenset[str] = frozenset()
    user_subject: Callable[[str], bool] | None = None
    application_suffix: str | None = None


_RFC9068_CLAIMS: Final = frozenset(("iss", "exp", "aud", "sub", "client_id", "iat", "jti"))
_AUTH0_APPLICATION: Final = "@clients"


def _is_auth0_user(subject: str) -> bool:
    """Auth0 names users connection|id, and machines client@clients."""
    return 0 < subject.find("|") < len(subject) - 1


TABLE: Final[Mapping[str, Dialect]] = {
    "auth0": Dialect(
        mark=kinds.AUTH0,
        client=("azp",),
        permissions="permissions",
        required=frozenset(("sub",)),
        user_subject=_is_auth0_user,
        application_suffix=_AUTH0_APPLICATION,
    ),
    "auth0-rfc9068": Dialect(
        mark=kinds.AT_JWT,
        client=("client_id",),
        permissions="permissions",
        required=_RFC9068_CLAIMS,
        user_subject=_is_auth0_user,
        application_suffix=_AUTH0_APPLICATION,
    ),
    "rfc9068": Dialect(mark=kinds.AT_JWT, client=("client_id",), required=_RFC9068_CLAIMS),
    "oidc": Dialect(mark=kinds.OIDC, client=("azp", "client_id")),
}

# RFC 6749, section 3.3: scope-tokens, each separated by one space.
_SCOPE: Final = re.compile(r"[!#-\[\]-~]+(?: [!#-\[\]-~]+)*").fullmatch
_APPLICATION_GRANTS: Final = ("client-credentials", "client_credentials")
_USER_GRANTS: Final = (
    "authorization_code",
    "implicit",
    "password",
    "refresh_token",
    "urn:ietf:params:oauth:grant-type:device_code",
)
_APPLICATION_PROFILES: Final = frozenset(("service", "device", "ai_agent", "client_instance"))
_USER_PROFILE: Final = "user"


def read(dialect: str, header: Mapping[str, Json], claims: Claims) -> VerifiedToken:
    """Turn a payload into facts, as the pipeline does once everything else has been verified.

    For tests and tools: nothing is verified here, neither signature, kind, time nor audience.
    `header` is a JOSE header; without `alg` it counts as RS256. Raises `ClaimMissing`,
    `ClaimInvalid`.
    """
    algorithm, key_id, token_type = (header.get(name) for name in ("alg", "kid", "typ"))
    return read_facts(
        TABLE[dialect],
        Header(
            algorithm=canonical_algorithm(algorithm if isinstance(algorithm, str) else "RS256"),
            key_id=key_id if isinstance(key_id, str) else None,
            type=compared_type(token_type) if isinstance(token_type, str) else None,
            parameters=header,
        ),
        claims,
        read_times(claims),
        read_audience(claims),
    )


def read_facts(
    dialect: Dialect, header: Header, claims: Claims, times: Times, audience: Audience
) -> VerifiedToken:
    """Turn claims into facts. Raises `ClaimMissing`, `ClaimInvalid`."""
    if not claims.keys() >= dialect.required:
        missing = ", ".join(sorted(dialect.required - claims.keys()))
        raise ClaimMissing(f"the token has no `{missing}`, which its dialect requires")
    subject = _text(claims, "sub")
    client = _client(dialect, claims)
    # By place: sixteen keywords would cost as much as reading the claims does.
    return VerifiedToken(
        _text(claims, "iss") or "",
        subject,
        client,
        _subject_kind(dialect, claims, subject, client),
        _scopes(claims["scope"]) if "scope" in claims else frozenset(),
        _permissions(dialect, claims),
        audience.named,
        _actor(claims["act"]) if "act" in claims else None,
        times.issued_at,
        times.not_before,
        times.expires_at,
        _text(claims, "jti"),
        header.key_id,
        header.algorithm,
        claims,
        [],
    )


def _text(claims: Claims, name: str) -> str | None:
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, str) or not value:
        raise ClaimInvalid(f"`{name}` must be text, not empty, found {shown(value)}")
    return value


def _client(dialect: Dialect, claims: Claims) -> str | None:
    client: str | None = None
    for name in dialect.client:
        if name in claims:
            other = _text(claims, name)
            if client is not None and other != client:
                raise ClaimInvalid(f"`{name}` names another application than {shown(client)}")
            client = other
    return client


def _scopes(value: Json) -> frozenset[str]:
    """Read `scope` (RFC 6749, section 3.3; RFC 9068, section 2.2.3)."""
    if not isinstance(value, str):
        raise ClaimInvalid(f"`scope` must be text with spaces between, found {shown(value)}")
    return _scope_tokens(value)


@lru_cache(maxsize=256)
def _scope_tokens(scope: str) -> frozenset[str]:
    """Return the same object for the same text: many tokens share few scopes."""
    if not scope:
        return frozenset()
    if _SCOPE(scope) is None:
        raise ClaimInvalid(f"`scope` must be scope-tokens one space apart, found {shown(scope)}")
    return frozenset(scope.split(" "))


def _permissions(dialect: Dialect, claims: Claims) -> frozenset[str]:
    if dialect.permissions is None or dialect.permissions not in claims:
        return frozenset()
    value = claims[dialect.permissions]
    if not isinstance(value, list):
        raise ClaimInvalid(f"`{dialect.permissions}` must be a list, found {shown(value)}")
    permissions: set[str] = set()
    for permission in value:
        if not isinstance(permission, str):
            raise ClaimInvalid(f"`{dialect.permissions}` must hold texts, found {shown(value)}")
        permissions.add(permission)
    return frozenset(permissions)


def _actor(outermost: Json) -> str:
    """Return the current actor: the outermost `act` (RFC 8693, section 4.1)."""
    depth, act = 0, outermost
    while act is not None:
        depth += 1
        if not isinstance(act, dict):
            raise ClaimInvalid(f"`act` must be an object, found {shown(act)}")
        if depth > DEEPEST_ACTOR:
            raise ClaimInvalid(f"`act` is nested deeper than {DEEPEST_ACTOR} actors")
        act = act.get("act")
    actor = outermost.get("sub") if isinstance(outermost, dict) else None
    if not isinstance(actor, str) or not actor:
        # Left unknown, a delegated token could pass for one without an actor.
        raise ClaimInvalid("`act` must name its actor by the text `sub`")
    return actor


def _subject_kind(
    dialect: Dialect, claims: Claims, subject: str | None, client: str | None
) -> SubjectKind | None:
    """Tell users from applications by positive signs alone; contradicting signs tell nothing."""
    # Only a person logs in at a time (OpenID Connect Core 1.0, section 2; RFC 9068, 2.2.1).
    user = "auth_time" in claims
    application = False
    if "gty" in claims:
        application = claims["gty"] in _APPLICATION_GRANTS
        user = user or claims["gty"] in _USER_GRANTS
    profile = claims.get("sub_profile")
    if isinstance(profile, str):
        words = profile.split(" ")
        application = application or not _APPLICATION_PROFILES.isdisjoint(words)
        user = user or _USER_PROFILE in words
    if subject is not None:
        if client is not None and subject.startswith(client):
            rest = subject[len(client) :]
            application = application or not rest or rest == dialect.application_suffix
        user = user or (dialect.user_subject is not None and dialect.user_subject(subject))
    if user == application:
        return None
    return _USER if user else _APPLICATION


_USER: Final[Literal["user"]] = "user"
_APPLICATION: Final[Literal["application"]] = "application"
