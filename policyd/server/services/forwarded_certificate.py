"""The certificate that a gateway's caller showed, as gateways write it in a header field.

Input: the value of the field. Output: the thumbprint by which access tokens are bound to it
(`x5t#S256`, RFC 8705, section 3.1). Only the certificate itself is read: that its sender holds the
key is what the gateway saw.

    nginx     $ssl_client_escaped_cert: PEM, percent-encoded
    Caddy     {http.request.tls.client.certificate_der_base64}: DER in base64
    Traefik   X-Forwarded-Tls-Client-Cert: DER in base64, percent-encoded; a chain with commas
    RFC 9440  Client-Cert: DER in base64 between colons
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import re
from typing import Final
from urllib.parse import unquote

from cryptography import x509

_LONGEST: Final = 16 * 1024
_PEM: Final = re.compile(
    r"-----BEGIN CERTIFICATE-----([A-Za-z0-9+/=\s]+)-----END CERTIFICATE-----\s*"
)


def certificate_thumbprint(value: str) -> str:
    """Return the thumbprint of a certificate in one of these forms, empty for an empty value.

    Raises `ValueError` where it is none.
    """
    value = value.strip()
    if not value:
        return ""
    if len(value) > _LONGEST:
        raise ValueError("the certificate is too long")
    try:
        der = base64.b64decode(_in_base64(unquote(value)), validate=True)
        x509.load_der_x509_certificate(der)
    except (ValueError, binascii.Error):
        raise ValueError("the certificate of the caller cannot be read") from None
    digest = hashlib.sha256(der).digest()
    return base64.urlsafe_b64encode(digest).rstrip(b"=").decode()


def _in_base64(text: str) -> str:
    """Return what is between the marks; of a chain, the first."""
    if text.startswith("-----"):
        found = _PEM.match(text)
        if found is None:
            raise ValueError("no PEM")
        return "".join(found[1].split())
    if text.startswith(":") and text.endswith(":"):
        return text[1:-1]
    return text.partition(",")[0]
