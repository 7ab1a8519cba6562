"""DPoP proofs (RFC 9449): the sender of a token holds its key, now and for this request.

Input: a token's text, the thumbprint that it is bound to, and the proof of the request. Output:
nothing, or a refusal. The checks are those of section 4.3, all twelve, and each costs no more
than the ones after it: what anyone can forge is refused before a signature is verified. A proof is
remembered only after everything else about it holds.
"""

from __future__ import annotations

import secrets
from collections.abc import Mapping
from functools import lru_cache
from hashlib import sha256
from typing import Final

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.algorithms import canonical_algorithm
from policyd.tokens.claims.times import LATEST
from policyd.tokens.details import marked, quote, quote_member
from policyd.tokens.jws import Encoded
from policyd.tokens.model import SenderProof
from policyd.tokens.proof import uri
from policyd.tokens.proof.key import ProofKey, read_proof_key
from policyd.tokens.proof.nonces import Nonces
from policyd.tokens.proof.replay import ReplayCache
from policyd.tokens.refusals import DpopProofInvalid, TokenBindingInvalid, TokenMalformed
from policyd.tokens.settings.dpop import DpopSettings

LONGEST_PROOF: Final = 8192
LONGEST_ID: Final = 256
_KEYS_REMEMBERED: Final = 512

Claims = Mapping[str, Json]

#: Seconds between the moment that a proof is judged by and the last at which it is remembered.
_LATEST: Final = 5


class DpopVerifier:
    """Verifies proofs. Safe to use from several threads."""

    def __init__(self, settings: DpopSettings) -> None:
        self._max_age = settings.max_age
        self._leeway = settings.leeway
        algorithms = frozenset(map(canonical_algorithm, settings.algorithms))
        # A sender uses one header for all its proofs; importing a key costs what verifying does.
        self._read_key = lru_cache(_KEYS_REMEMBERED)(
            lambda segment: read_proof_key(segment, algorithms)
        )
        self._nonces: Nonces | None = None
        if settings.nonce:
            secret = settings.nonce_secret or secrets.token_bytes(32)
            self._nonces = Nonces(secret, settings.nonce_lifetime)
        # A proof whose `iat` lies `leeway` ahead counts for so long; and a thread that judged one
        # may come late to remember it.
        lifetime = settings.max_age + settings.leeway + _LATEST
        self._replays = ReplayCache(settings.replay_entries, settings.replay_per_key, lifetime)

    @property
    def remembered(self) -> int:
        """How many proofs are remembered, so that they cannot be shown again."""
        return len(self._replays)

    def nonce(self, now: float) -> str | None:
        """Return the nonce that proofs should have from now on; `None` where none is asked for."""
        return None if self._nonces is None else self._nonces.current(now)

    def check(self, thumbprint: str, access_token: str, proof: SenderProof, now: float) -> None:
        """Check that the holder of the key `thumbprint` sent `access_token`, in this very request.

        `now` is seconds since the epoch. Raises `TokenBindingInvalid`.
        """
        encoded = _sole_proof(proof.dpop_proofs)
        try:
            key = self._read_key(encoded.header)
            _check_key(key, thumbprint)
            _check_signature(key, encoded)
            claims = jws.read_object(jws.decode_segment(encoded.payload, "payload"), "payload")
        except TokenMalformed as problem:
            raise DpopProofInvalid(
                f"the DPoP proof cannot be read: {problem.marked_detail}"
            ) from None
        proof_id = _proof_id(claims)
        _check_request(claims, proof)
        self._check_age(claims, now)
        _check_access_token(claims, access_token)
        if self._nonces is not None:
            self._nonces.check(claims.get("nonce"), now)
        self._replays.use(thumbprint, proof_id, proof.request_id, now)

    def _check_age(self, claims: Claims, now: float) -> None:
        """Check 11. The policy of `nonce` has its own check."""
        issued_at = claims.get("iat")
        # By type, not by isinstance: a bool is an int to Python and none to JSON.
        if type(issued_at) is not int and type(issued_at) is not float:
            raise DpopProofInvalid(
                f"the DPoP proof's `iat` must be a number of seconds, "
                f"found {quote_member(claims, 'iat')}"
            )
        if not 0 <= issued_at <= LATEST:
            raise DpopProofInvalid(
                f"the DPoP proof's `iat` must lie from 0 to {LATEST}, found {quote(issued_at)}"
            )
        age = now - issued_at
        if age >= self._max_age:
            raise DpopProofInvalid(
                f"the DPoP proof was made {age:.0f} s ago, `max_age` is {self._max_age} s: each "
                "request needs one of its own; else check the sender's clock"
            )
        if age < -self._leeway:
            raise DpopProofInvalid(
                f"the DPoP proof's `iat` is {-age:.0f} s ahead, `leeway` is {self._leeway} s; "
                "check the sender's clock"
            )


def _sole_proof(proofs: tuple[str, ...]) -> Encoded:
    """Return the one proof in its three segments (checks 1 and 2)."""
    if not proofs:
        raise TokenBindingInvalid(
            "the token is bound to a key (DPoP), and the request has no proof: the sender left out "
            "the header field `DPoP`, or the enforcement point did not pass it on"
        )
    if len(proofs) > 1:
        raise DpopProofInvalid(f"{len(proofs)} DPoP proofs in the request, expected one")
    (text,) = proofs
    if len(text) > LONGEST_PROOF:
        raise DpopProofInvalid(
            f"the DPoP proof has {len(text)} characters, the limit is {LONGEST_PROOF}"
        )
    if text.count(".") != 2 or not text.isascii():
        raise DpopProofInvalid("the DPoP proof is not one JWT: three segments of base64url")
    return jws.split(text)


def _check_key(key: ProofKey, thumbprint: str) -> None:
    """Check 12 b, first of all that cost something: other keys' proofs are of no interest."""
    if key.thumbprint != thumbprint:
        raise TokenBindingInvalid(
            f"the DPoP proof is by the key {marked(key.thumbprint, 'cnf')}, "
            f"the token is bound to {marked(thumbprint, 'cnf')}"
        )


def _check_signature(key: ProofKey, encoded: Encoded) -> None:
    """Check 6."""
    signature = jws.decode_segment(encoded.signature, "signature")
    if not key.key.verify(encoded.signing_input, signature):
        raise DpopProofInvalid("the DPoP proof's signature is not by the key in its header")


def _proof_id(claims: Claims) -> str:
    """Return `jti` (check 3), of bounded length (section 11.1)."""
    proof_id = claims.get("jti")
    if not isinstance(proof_id, str) or not 0 < len(proof_id) <= LONGEST_ID:
        raise DpopProofInvalid(
            f"the DPoP proof's `jti` must be text of 1 to {LONGEST_ID} characters, "
            f"found {quote_member(claims, 'jti')}"
        )
    return proof_id


def _check_request(claims: Claims, proof: SenderProof) -> None:
    """Checks 8 and 9: the proof is for this method and this URI."""
    method, target = claims.get("htm"), claims.get("htu")
    if not proof.http_method or not proof.http_uri:
        raise TokenBindingInvalid(
            "the enforcement point gave no `http_method` or no `http_uri` of the request, which "
            "the DPoP proof has to be compared with"
        )
    if method != proof.http_method:
        raise DpopProofInvalid(
            f"the DPoP proof is for the method {quote_member(claims, 'htm')}, "
            f"the request's is {quote(proof.http_method)}"
        )
    requested = uri.normalised(proof.http_uri)
    if requested is None:
        raise TokenBindingInvalid(
            f"the enforcement point gave an `http_uri` that is no absolute http or https URI: "
            f"{quote(proof.http_uri)}"
        )
    if not isinstance(target, str) or uri.normalised(target) != requested:
        raise DpopProofInvalid(
            f"the DPoP proof is for the URI {quote_member(claims, 'htu')}, "
            f"the request's is {quote(requested)}"
        )


def _check_access_token(claims: Claims, access_token: str) -> None:
    """Check 12 a: the proof is for this token."""
    expected = jws.encode_segment(sha256(access_token.encode()).digest()).decode("ascii")
    if claims.get("ath") != expected:
        raise DpopProofInvalid(
            "the DPoP proof's `ath` is not the hash of this access token: "
            f"found {quote_member(claims, 'ath')}"
        )
