"""The allowed signers. They are local files, so no commit can change them."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Final

import msgspec

from policyd.errors import PolicydError
from policyd.regular_file import read_regular

#: The longest list of signers, in bytes.
_LONGEST: Final = 4 * 1024 * 1024


class SignatureRefused(PolicydError):
    """A signature is missing, invalid, or made by a signer who is not allowed; the text says
    which."""


class Trust(msgspec.Struct, frozen=True):
    """The signers of policies: lists of SSH keys and of OpenPGP certificates.

    With `match_committer`, a signer must be the committer: the principal of an SSH key, or a user
    id of a certificate, must be the committer's address.
    """

    allowed_signers_file: Path | None = None
    revoked_keys_file: Path | None = None
    openpgp_keyring_file: Path | None = None
    match_committer: bool = True

    @property
    def required(self) -> bool:
        """Whether policies must be signed."""
        return bool(self.allowed_signers_file or self.openpgp_keyring_file)

    def digest(self) -> str:
        """Return a digest of the lists. An unreadable list counts as empty."""
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
    """Return the bytes of a list of signers. Raises `SignatureRefused`."""
    try:
        return read_regular(path, _LONGEST)
    except OSError as error:
        raise SignatureRefused(f"`{path}` cannot be read: {error.strerror}") from None
