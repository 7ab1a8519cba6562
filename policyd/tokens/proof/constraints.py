"""Sender-constrained tokens: a token with `cnf` counts only with the proof that `cnf` asks for.

Input: a verified token, its text and what the sender sent. Output: nothing, or
`TokenBindingInvalid`. Checked at every use: a proof is for one request.
"""

from __future__ import annotations

from hmac import compare_digest

from policyd.tokens.claims.confirmation import is_thumbprint
from policyd.tokens.details import configured, marked, quote
from policyd.tokens.model import Binding, SenderProof, VerifiedToken
from policyd.tokens.proof.dpop import DpopVerifier
from policyd.tokens.refusals import TokenBindingInvalid
from policyd.tokens.settings.dpop import DpopSettings
from policyd.tokens.settings.issuers import IssuerSettings


class SenderConstraints:
    """Checks proofs of possession (RFC 7800, RFC 8705, RFC 9449). Safe to use from threads."""

    def __init__(self, settings: DpopSettings | None = None) -> None:
        self.settings = settings or DpopSettings()
        self._dpop = DpopVerifier(self.settings)

    @property
    def proofs_remembered(self) -> int:
        """How many DPoP proofs are remembered, so that they cannot be shown again."""
        return self._dpop.remembered

    def dpop_nonce(self, now: float) -> str | None:
        """Return the nonce that DPoP proofs should have from now on; `None`: none is asked for."""
        return self._dpop.nonce(now)

    def check(
        self, token: VerifiedToken, access_token: str, proof: SenderProof, now: float
    ) -> None:
        """Check that the sender may use the token. Raises `TokenBindingInvalid`.

        A client's certificate beside a token that is not bound to it says nothing; a DPoP proof
        says that the token is bound to its key (RFC 9449, section 4.3, check 12).
        """
        binding = token.binding
        if binding is None:
            if proof.dpop_proofs:
                raise _proof_without_binding()
            return
        _check_usable(binding)
        if binding.method == "dpop":
            if not self.settings.enabled:
                raise TokenBindingInvalid("the token is bound by DPoP, and `dpop.enabled` is false")
            self._dpop.check(binding.thumbprint, access_token, proof, now)
            return
        if proof.dpop_proofs:
            raise _proof_without_binding()
        _check_certificate(binding.thumbprint, proof.client_certificate_sha256)


def check_required(token: VerifiedToken, settings: IssuerSettings) -> None:
    """Check that the token is bound as its issuer is set to. Raises `TokenBindingInvalid`."""
    required = settings.require_binding
    if required is False:
        return
    binding = token.binding
    if binding is None:
        raise TokenBindingInvalid(
            f"the token is not bound to its sender, `require_binding` is {configured(required)}"
        )
    _check_usable(binding)
    if required not in ("any", binding.method):
        raise TokenBindingInvalid(
            f"the token is bound by {binding.method}, `require_binding` is {configured(required)}"
        )


def _proof_without_binding() -> TokenBindingInvalid:
    return TokenBindingInvalid(
        "the request has a DPoP proof, but the token is not bound to its key: it has no `jkt`"
    )


def _check_usable(binding: Binding) -> None:
    """Check that policyd can verify this kind of binding at all."""
    if binding.method == "unusable":
        raise TokenBindingInvalid(
            f"the token is bound to what cannot be checked: {binding.problem}"
        )


def _check_certificate(thumbprint: str, presented: str) -> None:
    """Check a certificate's thumbprint, as the enforcement point gave it (RFC 8705, section 3)."""
    if not presented:
        raise TokenBindingInvalid(
            "the token is bound to a certificate (mutual TLS), and the request has none: the "
            "sender showed none, or the enforcement point did not pass on its thumbprint"
        )
    if not is_thumbprint(presented):
        raise TokenBindingInvalid(
            "`client_certificate_sha256` must be the base64url of the 32 bytes of a SHA-256, "
            f"without padding, found {quote(presented, 'cnf')}"
        )
    if not compare_digest(thumbprint, presented):
        raise TokenBindingInvalid(
            f"the sender's certificate is {marked(presented, 'cnf')}, "
            f"the token is bound to {marked(thumbprint, 'cnf')}"
        )
