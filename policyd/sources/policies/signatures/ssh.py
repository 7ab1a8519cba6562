"""Signatures of SSH keys (OpenSSH's PROTOCOL.sshsig), by sshsig, which does the cryptography.

It accepts Ed25519 keys, and RSA keys of at least 2048 bits with SHA-2, and refuses all others.
"""

from __future__ import annotations

from typing import Final

from sshsig import InvalidSignature, check_signature
from sshsig.sshsig import SshsigSignature

from policyd.sources.policies.signatures.allowed_signers import (
    kind_of,
    principal_of,
    read_keys,
    read_signers,
)
from policyd.sources.policies.signatures.trust import SignatureRefused, Trust, read_trusted

_KINDS: Final = ("ssh-ed25519", "ssh-rsa")
_HASHES: Final = ("sha256", "sha512")
#: The least number of bytes of a 2048-bit key: kind, exponent and modulus with their lengths.
_SHORTEST_RSA: Final = 4 + 7 + 4 + 1 + 4 + 256


def signer(
    payload: bytes,
    signature: bytes,
    namespace: str,
    trust: Trust,
    now: float,
    wanted: str | None,
) -> str:
    """Return the principal of the signing key; see `principal_of`. Raises `SignatureRefused`."""
    if trust.allowed_signers_file is None:
        raise SignatureRefused("it is signed by an SSH key, and `allowed_signers_file` is not set")
    key = _verified(payload, signature, namespace)
    signers = read_signers(_text(read_trusted(trust.allowed_signers_file)))
    revoked = trust.revoked_keys_file
    if revoked is not None and key in read_keys(_text(read_trusted(revoked))):
        raise SignatureRefused("its key is revoked")
    return principal_of(signers, key, namespace, now, wanted)


def _verified(payload: bytes, signature: bytes, namespace: str) -> bytes:
    """Return the key, in SSH's encoding, that made this signature for a namespace."""
    try:
        parts = SshsigSignature.from_armored(signature)
    except (ValueError, NotImplementedError) as error:
        raise SignatureRefused(f"its signature cannot be read: {error}") from None
    key, kind = bytes(parts.public_key), kind_of(bytes(parts.public_key))
    if kind not in _KINDS:
        raise SignatureRefused(
            f"it is signed by a key of the kind `{kind}`, which cannot be verified here; "
            "ssh-ed25519 and ssh-rsa can"
        )
    if kind == "ssh-rsa" and len(key) < _SHORTEST_RSA:
        raise SignatureRefused("it is signed by an RSA key of less than 2048 bits")
    algorithm = bytes(parts.hash_algo).decode("ascii", "replace")
    if algorithm not in _HASHES:
        raise SignatureRefused(f"its signature uses the hash `{algorithm}`; sha256 and sha512 may")
    if bytes(parts.namespace) != namespace.encode():
        other = bytes(parts.namespace).decode("utf-8", "replace")
        raise SignatureRefused(f"it is signed for the namespace `{other}`, not `{namespace}`")
    try:
        check_signature(payload, signature, namespace)
    except (InvalidSignature, NotImplementedError, ValueError):
        raise SignatureRefused("its signature is wrong: what is signed has other bytes") from None
    return key


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        if data.startswith(b"SSHKRL"):
            return "SSHKRL"
        raise SignatureRefused("a file of trusted keys is not UTF-8") from None
