"""Who calls: the names in a caller's certificate, and who of them a listener lets in.

Input: the certificate that a caller showed over mutual TLS, which the listener's authorities vouch
for, and the names that the listener lets in. Output: the name that the decision log knows the
caller by, or a refusal.

Invariants: only names of the extension for alternative names count, each with its kind, so that no
DNS name passes for a URI; a certificate without any is known by its fingerprint. Where names are
listed, a caller has one of them or does not call.

Sources: RFC 5280, section 4.2.1.6; the SPIFFE X.509-SVID specification, section 2.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Final

from cryptography import x509
from cryptography.hazmat.primitives.hashes import SHA256

from policyd.config.addresses import Address
from policyd.pdp.calls import CallFailed

SPIFFE: Final = "spiffe://"
DNS: Final = "dns:"
#: How callers are called whom nothing tells apart, by how far the listener reaches.
LOCAL: Final = "local"
NETWORK: Final = "network"
_KEPT: Final = 1024


def reach(address: Address) -> str:
    """Return how callers are called of whom nothing is known but how far they may be away."""
    return LOCAL if address.is_loopback else NETWORK


class CertificateDoor:
    """Lets in callers by certificate: those with one of `names`, or all where there are none.

    `refusal` is what the others are told.
    """

    everyone: None = None

    def __init__(self, names: Iterable[str], refusal: CallFailed) -> None:
        self._names = frozenset(names)
        self._refusal = refusal

    def caller(self, certificate: bytes) -> str:
        """Return the name of a caller by its certificate in PEM. Raises `CallFailed`."""
        found = names_of(certificate)
        if self._names:
            found = tuple(name for name in found if name in self._names)
        if not found:
            raise self._refusal.kept()
        return found[0]


@lru_cache(_KEPT)
def names_of(certificate: bytes) -> tuple[str, ...]:
    """Return the names that a certificate in PEM or DER gives its holder, the best first.

    These are `spiffe://…` and `dns:NAME`, or if it has neither `certificate:` and its SHA-256.
    Nothing is returned for bytes that are no certificate.
    """
    try:
        if certificate.startswith(b"-----"):
            read = x509.load_pem_x509_certificate(certificate)
        else:
            read = x509.load_der_x509_certificate(certificate)
        extension = read.extensions.get_extension_for_class(x509.SubjectAlternativeName)
    except x509.ExtensionNotFound:
        return (_fingerprint(read),)
    except ValueError:
        return ()
    uris = extension.value.get_values_for_type(x509.UniformResourceIdentifier)
    hosts = extension.value.get_values_for_type(x509.DNSName)
    names = [uri for uri in uris if uri.startswith(SPIFFE)]
    # An SVID has exactly one URI: with several, nobody can tell whose it is.
    if len(uris) > 1:
        names = []
    names += [DNS + host.lower() for host in hosts]
    return tuple(names) or (_fingerprint(read),)


def _fingerprint(certificate: x509.Certificate) -> str:
    return f"certificate:{certificate.fingerprint(SHA256()).hex()}"
