"""Whom to believe. It is local, and no commit can change it."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from policyd.errors import PolicydError
from policyd.regular_file import read_regular

#: Of a file that says who may sign, in bytes.
_LONGEST: Final = 4 * 1024 * 1024


class SignatureRefused(PolicydError):
    """A signature is missing, wrong, or of somebody who may not sign; its text says which."""


class Trust(msgspec.Struct, frozen=True):
    """Who may sign what serves: lists of SSH keys and of OpenPGP certificates.

    With `match_committer`, a signer must be the committer: the principal of an SSH key, or a user
    id of a certificate, must be the committer's address.
    """

    allowed_signers_file: Path | None = None
    revoked_keys_file: Path | None = None
    openpgp_keyring_file: Path | None = None
    match_committer: bool = True

    @property
    def required(self) -> bool:
        """Whether what serves must be signed."""
        return bool(self.allowed_signers_file or self.openpgp_keyring_file)

    def digest(self) -> str:
        """Return what changes when a file does; one that cannot be read counts as empty."""
        digest = hashlib.sha256()
        named = (self.allowed_signers_file, self.openpgp_keyring_file, self.revoked_keys_file)
        for path in named:
            data = b""
            if path is not None:
                try:
                    data = read_regular(path, _LONGEST)
                except OSError:
                    data = b""
            digest.update(hashlib.sha256(data).digest())
        return digest.hexdigest()


def read_trusted(path: Path) -> bytes:
    """Return the bytes of a file that says who may sign. Raises `SignatureRefused`."""
    try:
        return read_regular(path, _LONGEST)
    except OSError as error:
        raise SignatureRefused(f"`{path}` cannot be read: {error.strerror}") from None
