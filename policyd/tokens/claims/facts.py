"""Dialects: how each make of issuer writes down what OAuth means.

Input: a payload. Output: a `VerifiedToken`, in which every issuer's token has the same names.
A dialect is one of `dialect_table`, or a table of the configuration. Nothing here looks at
clocks or keys.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final, Literal

from policyd.json_types import Json
from policyd.tokens.algorithms import canonical_algorithm
from policyd.tokens.claims.audiences import Audience, read_audience
from policyd.tokens.claims.confirmation import read_binding
from policyd.tokens.claims.scopes import read_scopes
from policyd.tokens.claims.times import Times, read_times
from policyd.tokens.details import quote
from policyd.tokens.jws import Header, compared_type
from policyd.tokens.model import SubjectKind, VerifiedToken, new_memo
from policyd.tokens.refusals import ClaimInvalid, ClaimMissing
from policyd.tokens.settings.dialect import TENANT, Dialect, one_holds
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuer_names import tenants_of

Claims = Mapping[str, Json]

DEEPEST_ACTOR: Final = 5
#: Between the claims of a subject that several name together; none but the last may hold it.
SUBJECT_SEPARATOR: Final = "/"

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


def read(dialect: str | Dialect, header: Mapping[str, Json], claims: Claims) -> VerifiedToken:
    """Turn a payload into facts, as the pipeline does once everything else has been verified.

    For tests and tools: nothing is verified here, neither signature, kind, time nor audience.
    `header` is a JOSE header; without `alg` it counts as RS256. Raises `ClaimMissing`,
    `ClaimInvalid`.
    """
    algorithm, key_id, token_type = (header.get(name) for name in ("alg", "kid", "typ"))
    row = DIALECTS[dialect] if isinstance(dialect, str) else dialect
    return read_facts(
        row,
        Header(
            algorithm=canonical_algorithm(algorithm if isinstance(algorithm, str) else "RS256"),
            key_id=key_id if isinstance(key_id, str) else None,
            type=compared_type(token_type) if isinstance(token_type, str) else None,
            parameters=header,
        ),
        claims,
        read_times(claims),
        read_audience(claims, row),
    )


def read_facts(
    dialect: Dialect, header: Header, claims: Claims, times: Times, audience: Audience
) -> VerifiedToken:
    """Turn claims into facts. Raises `ClaimMissing`, `ClaimInvalid`."""
    if not claims.keys() >= dialect.required:
        missing = ", ".join(sorted(dialect.required - claims.keys()))
        raise ClaimMissing(f"the token has no `{missing}`, which its dialect requires")
    if dialect.token_id != "jti":
        _text(claims, "jti")  # text wherever it stands (RFC 7519, section 4.1.7)
    client = _client(dialect, claims)
    # By place: sixteen keywords would cost as much as reading the claims does.
    return VerifiedToken(
        _text(claims, "iss") or "",
        _subject(dialect, claims),
        client,
        _subject_kind(dialect, claims, client),
        read_scopes(dialect, claims),
        _permissions(dialect, claims),
        audience.named,
        _actor(claims) if "act" in claims else None,
        times.issued_at,
        times.not_before,
        times.expires_at,
        _text(claims, dialect.token_id),
        header.key_id,
        header.algorithm,
        claims,
        new_memo(),
        read_binding(claims["cnf"]) if "cnf" in claims else None,
    )


def check_tenant(dialect: Dialect, claims: Claims) -> None:
    """Check that a token is of the tenant that its issuer's name has. Raises `ClaimInvalid`.

    The subject of such a dialect is a name within the tenant: else an issuer could name another's.
    """
    if not dialect.names_tenant or TENANT not in claims:
        return
    tenant, issuer = claims[TENANT], claims.get("iss")
    named = tenants_of(issuer) if isinstance(issuer, str) else ()
    if named and tenant not in named:
        found, of_issuer = quote(tenant, TENANT), quote(named[0], "iss")
        raise ClaimInvalid(f"`{TENANT}` is {found}, and `iss` is of the tenant {of_issuer}")


#: What a claim that holds a name may become, whatever the dialect calls it.
_IDENTIFIERS = ("token.subject", "token.client", "token.jti")


def _text(claims: Claims, name: str) -> str | None:
    if name not in claims:
        return None
    value = claims[name]
    if not isinstance(value, str) or not value:
        found = quote(value, name, *_IDENTIFIERS)
        raise ClaimInvalid(f"`{name}` must be text, not empty, found {found}")
    return value


def _subject(dialect: Dialect, claims: Claims) -> str | None:
    """Return the principal's name: by the first way to name one whose claims are all there."""
    for way in dialect.subject:
        if len(way) == 1:
            if way[0] in claims:
                return _text(claims, way[0])
        elif all(name in claims for name in way):
            return _joined(way, claims)
    return None


def _joined(way: tuple[str, ...], claims: Claims) -> str:
    parts = [_text(claims, name) or "" for name in way]
    if any(SUBJECT_SEPARATOR in part for part in parts[:-1]):
        # Else two principals could have one name.
        found = quote(parts[0], way[0], *_IDENTIFIERS)
        raise ClaimInvalid(f"`{way[0]}` may not hold {SUBJECT_SEPARATOR}, found {found}")
    return SUBJECT_SEPARATOR.join(parts)


def _client(dialect: Dialect, claims: Claims) -> str | None:
    client: str | None = None
    for name in dialect.client:
        if name in claims:
            other = _text(claims, name)
            if client is not None and other != client:
                found = quote(client, *dialect.client, "token.client")
                raise ClaimInvalid(f"`{name}` names another application than {found}")
            client = other
    return client


def _permissions(dialect: Dialect, claims: Claims) -> frozenset[str]:
    if dialect.permissions is None or dialect.permissions not in claims:
        return frozenset()
    name, value = dialect.permissions, claims[dialect.permissions]
    if not isinstance(value, list):
        found = quote(value, name, "token.permissions")
        raise ClaimInvalid(f"`{name}` must be a list, found {found}")
    permissions: set[str] = set()
    for permission in value:
        if not isinstance(permission, str):
            found = quote(value, name, "token.permissions")
            raise ClaimInvalid(f"`{name}` must hold texts, found {found}")
        permissions.add(permission)
    return frozenset(permissions)


def _actor(claims: Claims) -> str:
    """Return the current actor: the outermost `act` (RFC 8693, section 4.1).

    Those inside are history: who they were decides nothing, so nothing is asked of them.
    """
    outermost = act = _act(claims["act"])
    for _ in range(DEEPEST_ACTOR):
        if "act" not in act:
            break
        act = _act(act["act"])
    else:
        raise ClaimInvalid(f"`act` is nested deeper than {DEEPEST_ACTOR} actors")
    actor = outermost.get("sub")
    if not isinstance(actor, str) or not actor:
        # Left unknown, a delegated token could pass for one without an actor.
        raise ClaimInvalid("`act` must name its actor by the text `sub`")
    if "iss" in outermost and outermost["iss"] != claims.get("iss"):
        # A name means nothing without its issuer, and policies compare the name alone.
        found = quote(outermost["iss"], "act")
        raise ClaimInvalid(f"`act` names an actor of another issuer: {found}")
    return actor


def _act(value: Json) -> Claims:
    if not isinstance(value, dict):
        raise ClaimInvalid(f"`act` must be an object, found {quote(value, 'act')}")
    return value


def _subject_kind(dialect: Dialect, claims: Claims, client: str | None) -> SubjectKind | None:
    """Tell users from applications by positive signs alone; contradicting signs tell nothing."""
    user = dialect.auth_time_tells and "auth_time" in claims and _is_a_login(claims["auth_time"])
    application = False
    if "gty" in claims:
        application = claims["gty"] in _APPLICATION_GRANTS
        user = user or claims["gty"] in _USER_GRANTS
    profile = claims.get("sub_profile")
    if isinstance(profile, str):
        words = profile.split(" ")
        application = application or not _APPLICATION_PROFILES.isdisjoint(words)
        user = user or _USER_PROFILE in words
    subject = _text(claims, "sub")
    if subject is not None:
        if client is not None and subject.startswith(client):
            rest = subject[len(client) :]
            application = application or not rest or rest == dialect.application_suffix
        separator = dialect.user_separator
        if separator is not None:
            # Something stands on either side of it.
            user = user or 0 < subject.find(separator) < len(subject) - len(separator)
    if dialect.user or dialect.application:
        user = user or one_holds(dialect.user, claims)
        application = application or one_holds(dialect.application, claims)
    if user == application:
        return None
    return _USER if user else _APPLICATION


def _is_a_login(auth_time: Json) -> bool:
    """Only a person logs in at a time (OpenID Connect Core 1.0, section 2; RFC 9068, 2.2.1).

    Some issuers write 0 where nobody did.
    """
    return isinstance(auth_time, int | float) and auth_time > 0


_USER: Final[Literal["user"]] = "user"
_APPLICATION: Final[Literal["application"]] = "application"
