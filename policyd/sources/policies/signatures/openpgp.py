"""Signatures of OpenPGP certificates (RFC 9580), by PySequoia.

In addition to the library's checks, a certificate that is revoked or expired now is refused, and
the signature's issuer must be a key of the certificate, by its full fingerprint.
"""

from __future__ import annotations

import re
from datetime import UTC, datetime
from typing import Final

from pysequoia import Cert, Sig
from pysequoia import verify as verify_openpgp

from policyd.sources.policies.signatures.trust import SignatureRefused, Trust, read_trusted

_ADDRESS: Final = re.compile(r"<([^<>]+)>\s*$")


def signer(payload: bytes, signature: bytes, trust: Trust, now: float, wanted: str | None) -> str:
    """Return the signer: `wanted`, or the first user id. Raises `SignatureRefused`."""
    if trust.openpgp_keyring_file is None:
        raise SignatureRefused(
            "it is signed by an OpenPGP certificate, and `openpgp_keyring_file` is not set"
        )
    try:
        made = Sig.from_bytes(signature)
    except Exception as error:  # the library raises one type for all errors
        raise SignatureRefused(f"its signature cannot be read: {error}") from None
    certificate = _certificate(payload, made, _keyring(read_trusted(trust.openpgp_keyring_file)))
    moment = datetime.fromtimestamp(now, UTC)
    if certificate.is_revoked:
        raise SignatureRefused(f"the certificate {certificate.fingerprint} is revoked")
    if certificate.expiration is not None and certificate.expiration <= moment:
        raise SignatureRefused(
            f"the certificate {certificate.fingerprint} expired at {certificate.expiration}"
        )
    if made.expiration is not None and made.expiration <= moment:
        raise SignatureRefused(f"its signature expired at {made.expiration}")
    return _principal(certificate, wanted)


def _keyring(data: bytes) -> list[Cert]:
    try:
        return Cert.split_bytes(data)
    except Exception as error:
        raise SignatureRefused(f"the OpenPGP keyring cannot be read: {error}") from None


def _certificate(payload: bytes, made: Sig, keyring: list[Cert]) -> Cert:
    """Return the certificate in the keyring that made a signature."""
    try:
        found = verify_openpgp(bytes=payload, store=lambda _ids: keyring, signature=made)
    except Exception as error:
        raise SignatureRefused(
            f"it has no valid signature of a certificate of the keyring: {_first_line(error)}"
        ) from None
    valid = {one.certificate.lower() for one in found.valid_sigs}
    signing = {one.signing_key.lower() for one in found.valid_sigs}
    named = made.issuer_fingerprint
    if named is not None and named.lower() not in signing:
        raise SignatureRefused(
            f"its signature names the key {named}, which is not the one it is of"
        )
    certificates = [one for one in keyring if one.fingerprint.lower() in valid]
    if len(valid) != 1 or len(certificates) != 1:
        raise SignatureRefused("it has no valid signature of one certificate of the keyring")
    return certificates[0]


def _principal(certificate: Cert, wanted: str | None) -> str:
    names = [str(one) for one in certificate.user_ids]
    if wanted is None:
        return names[0] if names else certificate.fingerprint
    addresses = [found[1] if (found := _ADDRESS.search(name)) else name for name in names]
    if wanted.casefold() not in {address.casefold() for address in addresses}:
        raise SignatureRefused(
            f"the certificate {certificate.fingerprint} is not one of the committer `{wanted}`"
        )
    return wanted


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
