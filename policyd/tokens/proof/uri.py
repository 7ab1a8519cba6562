"""The URI of a request, as a DPoP proof's `htu` is compared with it.

Normalised is what every client and proxy writes in its own way and nobody tells resources apart by:
scheme and host in lower case, the scheme's own port left out, an empty path written `/` (RFC 3986,
sections 6.2.2.1 and 6.2.3). Query and fragment are left out on both sides (RFC 9449, section 4.3).
Everything else counts as it stands: percent-encodings, dots in paths, a slash at the end.
"""

from __future__ import annotations

import re
from typing import Final

LONGEST: Final = 8192
_DEFAULT_PORTS: Final = {"http": "80", "https": "443"}
# RFC 3986, section 3, for what has an authority, and that without user information. Nothing but
# printable ASCII: what some parsers skip, such as a line break, does not get through.
_URI: Final = re.compile(
    r"(?P<scheme>https?)://"
    r"(?P<host>[A-Za-z0-9._~%!$&'()*+,;=-]+|\[[0-9A-Fa-f:.]+\])"
    r"(?::(?P<port>[0-9]*))?"
    r"(?P<path>/[!-\"$->@-~]*)?"
    r"(?:[?#][!-~]*)?",
    re.IGNORECASE | re.ASCII,  # else a long s would be an s, and the Kelvin sign a k
)


def normalised(uri: str) -> str | None:
    """Return the text under which `uri` is compared; `None` for what is no URI of a request."""
    if len(uri) > LONGEST:
        return None
    found = _URI.fullmatch(uri)
    if found is None:
        return None
    scheme, host, port, path = found.group("scheme", "host", "port", "path")
    scheme = scheme.lower()
    authority = host.lower()
    if port and port != _DEFAULT_PORTS[scheme]:
        authority += ":" + port
    return f"{scheme}://{authority}{path or '/'}"
