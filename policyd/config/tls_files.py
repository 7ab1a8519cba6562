"""The certificate and key of a listener: read from their files, and judged.

Input: the files of a listener's `tls`. Output: an `Identity` that can be served, and when its
certificate counts.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec
from cryptography import x509
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_pem_private_key,
)

from policyd.errors import PolicydError
from policyd.regular_file import read_regular

#: A certificate ends soon when less than a tenth of its life is left, and less than a week.
_SOON: Final = 0.1
_WEEK: Final = 7 * 86_400
_LARGEST: Final = 1024 * 1024


class Identity(msgspec.Struct, frozen=True):
    """A server's TLS certificate chain and private key, in PEM.

    With `client_authorities`, a caller must present a certificate that one of them issued.
    """

    certificate: bytes
    private_key: bytes
    client_authorities: bytes | None = None


class TlsFiles(msgspec.Struct, frozen=True):
    """The PEM files of a listener's identity. The names of the fields are those of the settings."""

    certificate: Path
    private_key: Path
    client_authorities: Path | None = None


class TlsUnusable(PolicydError):
    """A file of an identity is of no use. `setting` names it, the text says why."""

    def __init__(self, setting: str, problem: str) -> None:
        super().__init__(problem)
        self.setting = setting


class Served(msgspec.Struct, frozen=True):
    """An identity, and when its certificate counts: seconds since the epoch."""

    identity: Identity
    not_before: float
    not_after: float

    def remark(self, now: float) -> str | None:
        """Say what is amiss with the certificate's time, if anything is."""
        if now >= self.not_after:
            return f"has expired: it ended at {utc(self.not_after)}"
        if now < self.not_before:
            return f"is not valid yet: it begins at {utc(self.not_before)}"
        left = self.not_after - now
        if left < min(_WEEK, _SOON * (self.not_after - self.not_before)):
            return f"expires soon: it ends at {utc(self.not_after)}"
        return None


def read_tls(files: TlsFiles) -> Served:
    """Read an identity and see that its parts fit.

    Raises:
        TlsUnusable: a file cannot be read or holds something else, or the key is another one's.
    """
    certificate = _read("certificate", files.certificate)
    key = _read("private_key", files.private_key)
    authorities = files.client_authorities
    trusted = None if authorities is None else _read("client_authorities", authorities)
    chain = _certificates("certificate", files.certificate, certificate)
    if trusted is not None and authorities is not None:
        _certificates("client_authorities", authorities, trusted)
    ours = _public_key(files.private_key, key)
    fits = [_spki(one) == ours for one in chain]
    if not fits[0]:
        why = (
            f"the certificate of `{files.private_key}` must come first in it"
            if any(fits)
            else f"it is not the certificate of the key in `{files.private_key}`"
        )
        raise TlsUnusable("certificate", f"`{files.certificate}`: {why}")
    leaf = chain[0]
    return Served(
        Identity(certificate, key, trusted),
        leaf.not_valid_before_utc.timestamp(),
        leaf.not_valid_after_utc.timestamp(),
    )


def _read(setting: str, path: Path) -> bytes:
    try:
        return read_regular(path, _LARGEST)
    except OSError as error:
        raise TlsUnusable(setting, f"`{path}`: {error.strerror}") from None


def _certificates(setting: str, path: Path, data: bytes) -> list[x509.Certificate]:
    try:
        return x509.load_pem_x509_certificates(data)
    except ValueError:
        raise TlsUnusable(setting, f"`{path}` holds no certificate in PEM") from None


def _public_key(path: Path, data: bytes) -> bytes:
    try:
        key = load_pem_private_key(data, None)
    except TypeError:
        problem = f"`{path}` is encrypted, and there is no way to give its password"
        raise TlsUnusable("private_key", problem) from None
    except (ValueError, UnsupportedAlgorithm):
        raise TlsUnusable("private_key", f"`{path}` holds no private key in PEM") from None
    return key.public_key().public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def _spki(certificate: x509.Certificate) -> bytes | None:
    try:
        key = certificate.public_key()
    except (ValueError, UnsupportedAlgorithm):
        return None
    return key.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)


def utc(seconds: float) -> str:
    return f"{datetime.fromtimestamp(seconds, UTC):%Y-%m-%dT%H:%M:%SZ}"
