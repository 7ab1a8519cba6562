"""An issuer from its URL alone: its exact name, its dialect and its algorithms.

The issuer's own discovery document says what its name is, where its keys are, and how it signs.
What cannot be reached is guessed from the URL, and said.
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import urlsplit

import msgspec

from policyd.errors import PolicydError
from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.details import escaped
from policyd.tokens.https.discovery import document_urls
from policyd.tokens.https.fetch import Fetch, FetchFailed, https_fetcher
from policyd.tokens.refusals import TokenMalformed
from policyd.tokens.settings.issuer_names import with_usual_ending
from policyd.tokens.urls import check_url, origin

#: The dialect of an issuer that nothing else is known of: the standard's.
UNKNOWN = "rfc9068"
#: Ends of host names, and the dialect of the issuers there.
_HOSTS = (
    (".auth0.com", "auth0"),
    (".okta.com", "okta"),
    (".oktapreview.com", "okta"),
    (".okta-emea.com", "okta"),
    ("login.microsoftonline.com", "entra"),
    ("sts.windows.net", "entra"),
)
#: Beginnings of host names, likewise.
_HOSTS_BEGIN = (
    ("cognito-idp.", "cognito"),
    ("kubernetes.default.svc", "kubernetes"),
    ("oidc.eks.", "kubernetes"),
)
#: Members of a discovery document, a part of their value, and whose they are.
_MEMBERS = (
    ("token_endpoint", "/protocol/openid-connect/token", "keycloak"),
    ("mfa_challenge_endpoint", "/mfa/challenge", "auth0"),
    ("token_endpoint", "/oauth2/v1/token", "okta"),
    ("token_endpoint", ".amazoncognito.com", "cognito"),
    ("jwks_uri", "/openid/v1/jwks", "kubernetes"),
)


class IssuerUnusable(PolicydError):
    """The URL names no issuer that policyd can ask or trust."""


class NewIssuer(msgspec.Struct, frozen=True):
    """What a configuration says of an issuer; `notes` are for the user who gave the URL."""

    issuer: str
    dialect: str
    algorithms: tuple[str, ...] = ()
    jwks_hosts: tuple[str, ...] = ()
    plain_http: bool = False
    notes: tuple[str, ...] = ()


def look_up(url: str, fetch: Fetch | None = None) -> NewIssuer:
    """Return what the issuer's discovery document and its URL tell.

    An issuer that cannot be reached is described by its URL. Raises `IssuerUnusable`.
    """
    try:
        check_url(url, loopback_http=True)
    except ValueError as problem:
        raise IssuerUnusable(f"--issuer: {escaped(url)} {problem}") from None
    plain_http = urlsplit(url).scheme == "http"
    fetch = fetch or https_fetcher(ca_file=None, allow_http_loopback=plain_http)
    try:
        document = _document(url, fetch)
    except FetchFailed as problem:
        note = f"the issuer could not be asked, so its dialect is a guess from the URL: {problem}"
        dialect = dialect_of(url, {})
        name = with_usual_ending(url, dialect)
        written = () if name == url else (_written(name, dialect),)
        return NewIssuer(name, dialect, plain_http=plain_http, notes=(note, *written))
    name, notes = _name(url, document)
    return NewIssuer(
        name,
        dialect_of(name, document),
        _algorithms(document, fetch),
        _foreign_hosts(name, document),
        plain_http,
        notes,
    )


def dialect_of(issuer: str, document: dict[str, Json]) -> str:
    """Return the dialect of an issuer by its host, its path, and the endpoints it names."""
    parts = urlsplit(issuer)
    host = parts.hostname or ""
    for end, dialect in _HOSTS:
        if host.endswith(end):
            return dialect
    for begin, dialect in _HOSTS_BEGIN:
        if host.startswith(begin):
            return dialect
    if "/realms/" in parts.path:
        return "keycloak"
    for member, part, dialect in _MEMBERS:
        value = document.get(member)
        if isinstance(value, str) and part in value:
            return dialect
    return UNKNOWN


def _document(url: str, fetch: Fetch) -> dict[str, Json]:
    first, second = document_urls(url)
    try:
        fetched = fetch(first)
    except FetchFailed as problem:
        if problem.status != 404:
            raise
        fetched = fetch(second)
    try:
        return jws.read_object(fetched.body, "discovery document")
    except TokenMalformed as problem:
        raise FetchFailed(first, str(problem)) from None


def _name(url: str, document: dict[str, Json]) -> tuple[str, tuple[str, ...]]:
    """Return the issuer's own name. Only a slash at the end may differ from what was asked for."""
    named = document.get("issuer")
    if named == url:
        return url, ()
    if isinstance(named, str) and named.rstrip("/") == url.rstrip("/"):
        slash = "with" if named.endswith("/") else "without"
        return named, (f"the issuer calls itself {named}, {slash} a slash at the end",)
    whose = escaped(str(named))
    raise IssuerUnusable(
        f"--issuer: the document there is for {whose}, so no token names {escaped(url)}"
    )


def _written(name: str, dialect: str) -> str:
    slash = "end with a slash" if name.endswith("/") else "do not end with a slash"
    return f"issuers of the dialect {dialect} {slash}, so policyd.toml has {name}"


def _algorithms(document: dict[str, Json], fetch: Fetch) -> tuple[str, ...]:
    """Return the algorithms of the issuer's keys, or of its document where keys name none."""
    uri = document.get("jwks_uri")
    named: set[str] = set()
    if isinstance(uri, str):
        try:
            keys = jws.read_object(fetch(uri).body, "key set").get("keys")
        except (FetchFailed, TokenMalformed):
            keys = None
        for key in keys if isinstance(keys, Sequence) else ():
            algorithm = key.get("alg") if isinstance(key, dict) else None
            if isinstance(algorithm, str):
                named.add(algorithm)
    known = tuple(one for one in ALGORITHMS if one in named)
    if known:
        return known
    listed = document.get("id_token_signing_alg_values_supported")
    values = listed if isinstance(listed, list) else []
    return tuple(one for one in ALGORITHMS if one in values)


def _foreign_hosts(issuer: str, document: dict[str, Json]) -> tuple[str, ...]:
    """Return the host of the keys where it is not the issuer's."""
    uri = document.get("jwks_uri")
    if not isinstance(uri, str):
        return ()
    parts, own = urlsplit(uri), urlsplit(issuer)
    if origin(parts) == origin(own) or not parts.netloc:
        return ()
    return (parts.netloc.lower(),)
