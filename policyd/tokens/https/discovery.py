"""From an issuer's name to the place of its keys, or of another endpoint.

OpenID Connect Discovery 1.0, section 4, and RFC 8414, section 3: the issuer's own document names
its `jwks_uri`. The document must name the very issuer that was asked for, and what it names must
lie on that issuer's host and port, or keys on a configured one, so that no document can send
policyd elsewhere.
"""

from __future__ import annotations

from typing import Final
from urllib.parse import urlsplit

from policyd.errors import PolicydError
from policyd.tokens import jws
from policyd.tokens.details import escaped, escaped_member
from policyd.tokens.https.fetch import Fetch, FetchFailed
from policyd.tokens.refusals import TokenMalformed
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.urls import check_url, host_and_port, origin

KEYS: Final = "jwks_uri"


class DiscoveryFailed(PolicydError):
    """An issuer's document does not say where to go, or may not send policyd there."""


def document_urls(issuer: str) -> tuple[str, str]:
    """Return where an issuer's document may be: by OpenID Connect, then by RFC 8414."""
    parts = urlsplit(issuer)
    path = parts.path.rstrip("/")
    host = f"{parts.scheme}://{parts.netloc}"
    return (
        f"{host}{path}/.well-known/openid-configuration",
        f"{host}/.well-known/oauth-authorization-server{path}",
    )


def discover(settings: IssuerSettings, fetch: Fetch, member: str = KEYS) -> str:
    """Return the URL that the issuer's document names as `member`. Raises `FetchFailed`,
    `DiscoveryFailed`.
    """
    first, second = document_urls(settings.issuer)
    try:
        return _named_by(first, settings, fetch, member)
    except FetchFailed as problem:
        if problem.status != 404:
            raise
    return _named_by(second, settings, fetch, member)


def _named_by(url: str, settings: IssuerSettings, fetch: Fetch, member: str) -> str:
    try:
        document = jws.read_object(fetch(url).body, "discovery document")
    except TokenMalformed as problem:
        raise DiscoveryFailed(f"{escaped(url)}: {problem}") from None
    named = document.get("issuer")
    if named != settings.issuer:
        raise DiscoveryFailed(
            f"{escaped(url)}: the document is for the issuer {escaped_member(document, 'issuer')}, "
            f"expected {escaped(settings.issuer)}"
        )
    found = document.get(member)
    if not isinstance(found, str):
        raise DiscoveryFailed(f"{escaped(url)}: the document has no `{member}`")
    try:
        parts = check_url(found, loopback_http=settings.allow_http_loopback)
    except ValueError as problem:
        raise DiscoveryFailed(f"{escaped(url)}: its `{member}` {problem}") from None
    if origin(parts) == origin(urlsplit(settings.issuer)):
        return found
    if member == KEYS and origin(parts)[1:] in map(host_and_port, settings.jwks_hosts):
        return found
    written = parts.netloc.lower()
    remedy = (
        f"add {escaped(written)} to `jwks_hosts`" if member == KEYS else "configure the `endpoint`"
    )
    raise DiscoveryFailed(
        f"{escaped(url)}: its `{member}` {escaped(found)} leaves the issuer's host, or its port; "
        f"if that is right, {remedy}"
    )
