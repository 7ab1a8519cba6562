"""Which kind a signature is of, and who made it."""

from __future__ import annotations

import msgspec

from policyd.sources.policies.signatures.trust import SignatureRefused, Trust

_SSH, _OPENPGP = b"-----BEGIN SSH SIGNATURE-----", b"-----BEGIN PGP SIGNATURE-----"


class Statement(msgspec.Struct, frozen=True):
    """What was signed, the signature if there is one, and the namespace of SSH's signatures.

    `author` is the address of who made it, where it says so.
    """

    payload: bytes
    signature: bytes | None
    namespace: str
    author: str | None = None


def verify(statement: Statement, trust: Trust, now: float) -> str:
    """Return who signed. Raises `SignatureRefused`, which says why nobody did who may."""
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
