"""Signatures of SSH keys (OpenSSH's PROTOCOL.sshsig): made, and verified by sshsig.

It accepts Ed25519 keys, and RSA keys of at least 2048 bits with SHA-2, and refuses all others.
"""

from __future__ import annotations

import base64
import hashlib
from typing import Final

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey
from cryptography.hazmat.primitives.hashes import SHA512
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    PublicFormat,
    load_ssh_private_key,
    load_ssh_public_key,
)
from sshsig import InvalidSignature, check_signature
from sshsig.sshsig import SshsigSignature, SshsigWrapper, ssh_enarmor_sshsig

from policyd.errors import PolicydError
from policyd.sources.policies.signatures.allowed_signers import (
    kind_of,
    principal_of,
    read_keys,
    read_signers,
)
from policyd.sources.policies.signatures.trust import SignatureRefused, Trust, read_trusted

_KINDS: Final = ("ssh-ed25519", "ssh-rsa")
_LEAST_BITS: Final = 2048
_HASHES: Final = ("sha256", "sha512")
_VERSION: Final = 1


class KeyUnusable(PolicydError):
    """A private key cannot sign; its text says why."""


def sign(payload: bytes, private_key: bytes, namespace: str) -> bytes:
    """Return an armored signature, as `ssh-keygen -Y sign` makes it with SHA-512.

    `private_key` is a file of OpenSSH's, without a passphrase. Raises `KeyUnusable`.
    """
    try:
        key = load_ssh_private_key(private_key, None)
    except TypeError:
        raise KeyUnusable(
            "the key is protected by a passphrase, which is not asked for here; let ssh-keygen "
            f"sign: `ssh-keygen -Y sign -n {namespace} -f KEY FILE`"
        ) from None
    except (ValueError, UnsupportedAlgorithm):
        raise KeyUnusable(
            "the key is no private key of OpenSSH; `ssh-keygen -t ed25519` makes one"
        ) from None
    digest = hashlib.sha512(payload).digest()
    wrapped = SshsigWrapper(namespace=namespace.encode(), hash_algo=b"sha512", hash=digest)
    if isinstance(key, Ed25519PrivateKey):
        kind, made = b"ssh-ed25519", key.sign(wrapped.to_bytes())
    elif isinstance(key, RSAPrivateKey) and key.key_size >= _LEAST_BITS:
        kind, made = b"rsa-sha2-512", key.sign(wrapped.to_bytes(), PKCS1v15(), SHA512())
    else:
        raise KeyUnusable(
            "the key is of a kind that is not verified here; Ed25519 keys are, and RSA keys of "
            f"{_LEAST_BITS} bits or more"
        )
    public = key.public_key().public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH)
    parts = (
        base64.b64decode(public.split()[1]),
        namespace.encode(),
        b"",
        b"sha512",
        _string(kind) + _string(made),
    )
    blob = b"SSHSIG" + _VERSION.to_bytes(4, "big") + b"".join(map(_string, parts))
    return ssh_enarmor_sshsig(blob).encode()


def _string(data: bytes) -> bytes:
    """Return bytes in the encoding of RFC 4251, section 5."""
    return len(data).to_bytes(4, "big") + data


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


def _rsa_bits(key: bytes) -> int:
    """Return the length of an RSA key's modulus in bits. Raises `SignatureRefused`."""
    try:
        read = load_ssh_public_key(b"ssh-rsa " + base64.b64encode(key))
    except (ValueError, UnsupportedAlgorithm) as error:
        raise SignatureRefused(f"its key cannot be read: {error}") from None
    return read.key_size if isinstance(read, RSAPublicKey) else 0


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
    if kind == "ssh-rsa" and _rsa_bits(key) < _LEAST_BITS:
        raise SignatureRefused(f"it is signed by an RSA key of less than {_LEAST_BITS} bits")
    algorithm = bytes(parts.hash_algo).decode("ascii", "replace")
    if algorithm not in _HASHES:
        raise SignatureRefused(f"its signature uses the hash `{algorithm}`; sha256 and sha512 may")
    if bytes(parts.namespace) != namespace.encode():
        other = bytes(parts.namespace).decode("utf-8", "replace")
        raise SignatureRefused(f"it is signed for the namespace `{other}`, not `{namespace}`")
    try:
        check_signature(payload, signature, namespace)
    # sshsig asserts that an Ed25519 signature says that it is one.
    except (InvalidSignature, NotImplementedError, ValueError, AssertionError):
        raise SignatureRefused("its signature is wrong: what is signed has other bytes") from None
    return key


def _text(data: bytes) -> str:
    try:
        return data.decode()
    except UnicodeDecodeError:
        if data.startswith(b"SSHKRL"):
            return "SSHKRL"
        raise SignatureRefused("a file of trusted keys is not UTF-8") from None
