"""What the configuration says of an API, for people and clients outside.

Source: RFC 9728, section 2.
"""

from __future__ import annotations

from urllib.parse import urlsplit

import msgspec

from policyd.tokens.urls import check_url


class ApiSettings(msgspec.Struct, frozen=True):
    """What the configuration says of an API, for people and clients outside.

    `resource` is its resource identifier, an https URL (RFC 9728, section 1.2), where its audience
    is none or is not alone; `name` and `documentation` are for people. `base_scopes` are those that
    clients begin with.
    """

    resource: str | None = None
    name: str | None = None
    documentation: str | None = None
    base_scopes: tuple[str, ...] = ()


def is_resource(text: str) -> bool:
    """Tell whether a text can be a resource identifier: an https URL without query or fragment, or
    on this machine, where services are developed, an http one."""
    try:
        check_url(text, loopback_http=True)
    except ValueError:
        return False
    return True


def is_web_page(text: str) -> bool:
    """Tell whether a text can be the URL of a page."""
    try:
        parts = urlsplit(text)
    except ValueError:
        return False
    return parts.scheme == "https" and bool(parts.hostname) and text.isascii() and " " not in text
