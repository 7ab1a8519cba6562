"""Sender-constrained tokens: a token with `cnf` counts only with the proof that `cnf` asks for.

In come a verified token, its text and what the sender brought along; nothing comes out, or
`TokenBindingInvalid`. Checked at every use: a proof is for one request.
"""

from __future__ import annotations

from policyd.tokens.model import SenderProof, VerifiedToken
from policyd.tokens.refusals import TokenBindingInvalid


class SenderConstraints:
    """Checks proofs of possession (RFC 7800, RFC 8705, RFC 9449). Safe to use from threads."""

    def check(
        self, token: VerifiedToken, access_token: str, proof: SenderProof, now: float
    ) -> None:
        """Check that the sender may use the token. Raises `TokenBindingInvalid`."""
        del access_token, proof, now
        if "cnf" in token.claims:
            raise TokenBindingInvalid(
                "the token has `cnf`: it is bound to a key (DPoP or mutual TLS), and this version "
                "of policyd checks no proof of it"
            )
