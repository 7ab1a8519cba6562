"""The URLs that policyd may fetch from, and when two of them have the same origin."""

from __future__ import annotations

from ipaddress import ip_address
from typing import Final
from urllib.parse import SplitResult, urlsplit

from policyd.tokens.details import escaped

_PORTS: Final = {"https": 443, "http": 80}


def check_url(url: str, *, loopback_http: bool) -> SplitResult:
    """Split a URL that policyd may fetch from. Raises `ValueError` that says why it may not.

    HTTPS only; plain HTTP to a literal loopback address or `localhost` where `loopback_http`.
    """
    try:
        parts = urlsplit(url)
        # Reading the port is what validates it; urlsplit alone takes any text.
        port = parts.port
    except ValueError:
        raise ValueError(f"has a host or a port that cannot be: {escaped(url)}") from None
    if not parts.hostname or not url.isascii() or not url.isprintable() or " " in url:
        raise ValueError(f"must be an absolute URL, found {escaped(url)}")
    if parts.username is not None or parts.password is not None or parts.fragment or parts.query:
        raise ValueError(f"may hold no user, query or fragment, found {escaped(url)}")
    if port == 0:
        raise ValueError(f"has port 0: {escaped(url)}")
    if parts.scheme == "https":
        return parts
    if parts.scheme == "http" and is_loopback(parts.hostname):
        if loopback_http:
            return parts
        raise ValueError("is plain HTTP: on loopback that needs `allow_http_loopback = true`")
    raise ValueError(f"must begin with https://, found {escaped(url)}")


def origin(url: SplitResult) -> tuple[str, str, int]:
    """Return scheme, host and port of a URL that `check_url` accepted, in the one spelling each.

    A host with a dot at its end is another one: it is looked up in another way.
    """
    return (url.scheme, _host(url.hostname or ""), url.port or _PORTS[url.scheme])


def host_and_port(text: str) -> tuple[str, int]:
    """Read `host` or `host:port`, an IPv6 address in brackets. Raises `ValueError`."""
    try:
        parts = urlsplit(f"https://{text}")
        port = parts.port
    except ValueError:
        port = 0
    if port == 0 or not text.isascii() or parts.netloc != text or "@" in text or not parts.hostname:
        raise ValueError("write a host, or host:port, without scheme and path")
    return _host(parts.hostname), port or _PORTS[parts.scheme]


def _host(name: str) -> str:
    """Return a host's name in lower case, an IP address as it is usually written."""
    try:
        return str(ip_address(name))
    except ValueError:
        return name.lower()


def is_loopback(host: str) -> bool:
    """Tell whether `host` is `localhost` or a literal loopback address; names are not looked up."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False
