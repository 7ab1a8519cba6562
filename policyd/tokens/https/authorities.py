"""Certificate authorities of a `ca_file`: whether OpenSSL will let one vouch for a server.

From Python 3.13 on, certificates are held to RFC 5280 by the letter (VERIFY_X509_STRICT). Many a
private authority was made without what it demands, and then each fetch fails with a sentence that
names no file. So the file is judged when it is read, and a failed fetch is explained.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509

from policyd.errors import PolicydError
from policyd.regular_file import read_regular

LARGEST: Final = 4 * 1024 * 1024
#: What OpenSSL says under VERIFY_X509_STRICT, by its number (x509_vfy.h), and what to do.
_STRICT: Final = {
    79: "have the authority's certificate issued again as that of an authority "
    "(`basicConstraints = critical,CA:TRUE`)",
    85: "have the server's certificate issued again with `authorityKeyIdentifier = keyid`",
    86: "have the authority's certificate issued again with `subjectKeyIdentifier = hash`",
    89: "have the authority's certificate issued again with `basicConstraints = critical,CA:TRUE`",
    90: "have the server's certificate issued again with an authority key identifier that is not "
    "critical",
    91: "have the authority's certificate issued again with a subject key identifier that is not "
    "critical",
    92: "have the authority's certificate issued again with `keyUsage = critical,keyCertSign`",
}


class AuthoritiesUnusable(PolicydError):
    """A file of certificate authorities cannot be read, or holds none."""


class Refused(msgspec.Struct, frozen=True):
    """A certificate that vouches for nobody, by the letter of RFC 5280, and what to do.

    `hopeless` is whether that is so for the server whose own it may be, too.
    """

    said: str
    way_out: str
    hopeless: bool


class Authorities(msgspec.Struct, frozen=True):
    """What a file holds. `usable` is whether this Python lets at least one of them vouch."""

    refused: tuple[Refused, ...]
    usable: bool


@cache
def is_strict() -> bool:
    """Tell whether this Python holds certificates to RFC 5280 by the letter."""
    return bool(ssl.create_default_context().verify_flags & ssl.VERIFY_X509_STRICT)


def read_authorities(path: Path, *, strict: Callable[[], bool] = is_strict) -> Authorities:
    """Read and judge a file of authorities in PEM.

    Raises:
        AuthoritiesUnusable: it cannot be read, or holds no certificate.
    """
    try:
        data = read_regular(path, LARGEST)
    except OSError as error:
        raise AuthoritiesUnusable(f"`{path}`: {error.strerror}") from None
    try:
        certificates = x509.load_pem_x509_certificates(data)
    except ValueError:
        raise AuthoritiesUnusable(f"`{path}` holds no certificate in PEM") from None
    refused = [one for one in map(_judge, certificates) if one is not None]
    hopeless = len(refused) == len(certificates) and all(one.hopeless for one in refused)
    return Authorities(tuple(refused), usable=not (hopeless and strict()))


def _judge(certificate: x509.Certificate) -> Refused | None:
    """Judge one as OpenSSL's `check_extensions` does (RFC 5280, section 4.2)."""
    subject = certificate.subject.rfc4514_string() or "without a name"
    try:
        extensions = certificate.extensions
    except ValueError as error:
        return Refused(f"the certificate {subject} cannot be read: {error}", "", hopeless=True)
    if not _is_authority(extensions):
        # A server's own certificate may stand here, and then it vouches for that server.
        return Refused(
            f"the certificate {subject} is no authority, and vouches for itself alone",
            "name the certificate of who issued the server's",
            hopeless=False,
        )
    lacks = _lacks(extensions)
    if not lacks:
        return None
    return Refused(
        f"Python 3.13 and newer refuse the authority {subject}, which lacks "
        f"{' and '.join(lacks)} (RFC 5280, section 4.2.1)",
        "issue its certificate again from the same key and name, as `openssl req -x509` of "
        "OpenSSL 3 does by default: what it issued stays valid",
        hopeless=True,
    )


def _is_authority(extensions: x509.Extensions) -> bool:
    return any(isinstance(one.value, x509.BasicConstraints) and one.value.ca for one in extensions)


def _lacks(extensions: x509.Extensions) -> Sequence[str]:
    lacks = []
    usage = subject = False
    for one in extensions:
        if isinstance(one.value, x509.BasicConstraints) and not one.critical:
            lacks.append("`critical` in `basicConstraints`")
        elif isinstance(one.value, x509.KeyUsage):
            usage = one.value.key_cert_sign
        elif isinstance(one.value, x509.SubjectKeyIdentifier):
            subject = True
    if not usage:
        lacks.append("`keyUsage = keyCertSign`")
    if not subject:
        lacks.append("`subjectKeyIdentifier = hash`")
    return lacks


def advice(problem: ssl.SSLCertVerificationError) -> str | None:
    """Return what to do about a certificate that strict verification refused."""
    return _STRICT.get(problem.verify_code)
