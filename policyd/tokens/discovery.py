"""From an issuer's name to the place of its keys.

OpenID Connect Discovery 1.0, section 4, and RFC 8414, section 3: the issuer's own document names
its `jwks_uri`. The document must name the very issuer that was asked for, and the keys must lie on
that issuer's host or a configured one, so that no document can send policyd elsewhere.
"""

from __future__ import annotations

from urllib.parse import urlsplit

from policyd.tokens import jws
from policyd.tokens.fetch import Fetch, FetchFailed
from policyd.tokens.issuers import IssuerSettings, check_url
from policyd.tokens.keys import KeySetUnusable
from policyd.tokens.refusals import TokenMalformed, shown


def document_urls(issuer: str) -> tuple[str, str]:
    """Return where an issuer's document may be: by OpenID Connect, then by RFC 8414."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    host = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{host}{path}/.well-known/openid-configuration",
        f"{host}/.well-known/oauth-authorization-server{path}",
    )


def discover(settings: IssuerSettings, fetch: Fetch) -> str:
    """Return the issuer's `jwks_uri`. Raises `KeySetUnusable`."""
    first, second = document_urls(settings.issuer)
    try:
        return _keys_named_by(first, settings, fetch)
    except FetchFailed as problem:
        if problem.status != 404:
            raise
    return _keys_named_by(second, settings, fetch)


def _keys_named_by(url: str, settings: IssuerSettings, fetch: Fetch) -> str:
    try:
        document = jws.read_object(fetch(url).body, "discovery document")
    except TokenMalformed as problem:
        raise KeySetUnusable(f"{shown(url)}: {problem}") from None
    named = document.get("issuer")
    if named != settings.issuer:
        raise KeySetUnusable(
            f"{shown(url)}: the document is for the issuer {shown(named)}, "
            f"asked was {shown(settings.issuer)}"
        )
    jwks_uri = document.get("jwks_uri")
    if not isinstance(jwks_uri, str):
        raise KeySetUnusable(f"{shown(url)}: the document has no `jwks_uri`")
    try:
        host = check_url(jwks_uri, loopback_http=settings.allow_http_loopback).hostname
    except ValueError as problem:
        raise KeySetUnusable(f"{shown(url)}: its `jwks_uri` {problem}") from None
    if host not in (urlsplit(settings.issuer).hostname, *settings.jwks_hosts):
        raise KeySetUnusable(
            f"{shown(url)}: its `jwks_uri` {shown(jwks_uri)} leaves the issuer's host; "
            "if that is right, add the host to `jwks_hosts`"
        )
    return jwks_uri
