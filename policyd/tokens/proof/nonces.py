"""Nonces that policyd gives out for DPoP proofs (RFC 9449, section 9).

A nonce is a MAC of the present span of time: nothing is kept of those given out, and daemons that
share the secret take each other's. The one before the present one still counts, so a nonce lives
for one span at least and two at most. A proof with a nonce was not made long ahead.
"""

from __future__ import annotations

from hmac import compare_digest, digest

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.details import quote
from policyd.tokens.refusals import DpopNonceNeeded

_PURPOSE = b"policyd DPoP nonce "
_BYTES = 18


class Nonces:
    """Makes and checks nonces from `secret`; a span of time has `lifetime` seconds."""

    def __init__(self, secret: bytes, lifetime: int) -> None:
        self._secret = secret
        self._lifetime = lifetime

    def current(self, now: float) -> str:
        """Return the nonce that proofs should have from now on."""
        return self._of(int(now // self._lifetime))

    def check(self, nonce: Json, now: float) -> None:
        """Check the `nonce` of a proof. Raises `DpopNonceNeeded`."""
        if nonce is None:
            raise DpopNonceNeeded("the DPoP proof has no `nonce`, which `nonce = true` demands")
        span = int(now // self._lifetime)
        given = nonce.encode("utf-8", "replace") if isinstance(nonce, str) else b""
        if not any(
            compare_digest(given, self._of(each).encode("ascii")) for each in (span, span - 1)
        ):
            raise DpopNonceNeeded(
                f"the DPoP proof's `nonce` is too old or not ours: {quote(nonce)}"
            )

    def _of(self, span: int) -> str:
        mac = digest(self._secret, _PURPOSE + b"%d" % span, "sha256")
        return jws.encode_segment(mac[:_BYTES]).decode("ascii")
