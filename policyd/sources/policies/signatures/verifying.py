"""Detects the kind of a signature, and has it verified."""

from __future__ import annotations

import msgspec

from policyd.sources.policies.signatures.trust import SignatureRefused, Trust

_SSH, _OPENPGP = b"-----BEGIN SSH SIGNATURE-----", b"-----BEGIN PGP SIGNATURE-----"


class Statement(msgspec.Struct, frozen=True):
    """Signed bytes, their signature if there is one, and the namespace of SSH signatures.

    `author` is the author's address, if the bytes state one.
    """

    payload: bytes
    signature: bytes | None
    namespace: str
    author: str | None = None


def verify(statement: Statement, trust: Trust, now: float) -> str:
    """Return the signer. Raises `SignatureRefused` if there is no valid signature of an allowed
    signer."""
    signature = statement.signature
    if signature is None:
        raise SignatureRefused("it is not signed")
    wanted = statement.author if trust.match_committer else None
    # Imported where they are needed: both libraries belong to an extra.
    if signature.lstrip().startswith(_SSH):
        from policyd.sources.policies.signatures import ssh

        return ssh.signer(statement.payload, signature, statement.namespace, trust, now, wanted)
    if signature.lstrip().startswith(_OPENPGP):
        from policyd.sources.policies.signatures import openpgp

        return openpgp.signer(statement.payload, signature, trust, now, wanted)
    raise SignatureRefused("its signature is neither of an SSH key nor of OpenPGP, as X.509's are")
