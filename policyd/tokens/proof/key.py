"""The key that a DPoP proof carries in its own header, and that key's name.

Input: the header's segment. Output: a `ProofKey`. Anyone can make such a key: it counts for
something only once its thumbprint is found to be the one that an issuer bound a token to.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from hashlib import sha256
from typing import Final

import msgspec

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.details import quote, quote_member
from policyd.tokens.jws import SigningKey
from policyd.tokens.keys import key_set
from policyd.tokens.refusals import DpopProofInvalid

_TYPE: Final = "dpop+jwt"
_PRIVATE_MEMBERS: Final = frozenset(("d", "p", "q", "dp", "dq", "qi", "oth", "k"))
_NAMING_MEMBERS: Final[Mapping[str, tuple[str, ...]]] = {
    "RSA": ("e", "kty", "n"),
    "EC": ("crv", "kty", "x", "y"),
    "OKP": ("crv", "kty", "x"),
}


class ProofKey(msgspec.Struct, frozen=True, eq=False):
    """A public key, and its RFC 7638 thumbprint."""

    key: SigningKey
    thumbprint: str


def read_proof_key(segment: bytes, algorithms: Collection[str]) -> ProofKey:
    """Read the header of a proof; `algorithms` are those allowed, by their canonical names.

    RFC 9449, section 4.3, checks 4, 5 and 7. `typ` is compared as the media type that it is: in any
    case, with or without `application/` (RFC 7515, section 4.1.9). Raises `DpopProofInvalid`, and
    `TokenMalformed` for what is no JOSE header.
    """
    header = jws.parse_header(jws.decode_segment(segment, "header"))
    if header.type != _TYPE:
        raise DpopProofInvalid(
            f"the DPoP proof's `typ` must be {_TYPE}, "
            f"found {quote_member(header.parameters, 'typ')}"
        )
    if header.algorithm not in algorithms:
        raise DpopProofInvalid(
            f"the DPoP proof's `alg` is {quote(header.algorithm)}, "
            f"allowed are {', '.join(sorted(algorithms))}"
        )
    jwk = header.parameters.get("jwk")
    if not isinstance(jwk, dict):
        raise DpopProofInvalid("the DPoP proof's header has no key (`jwk`)")
    private = _PRIVATE_MEMBERS & jwk.keys()
    if private:
        raise DpopProofInvalid(
            f"the DPoP proof gives its private key away (`{'`, `'.join(sorted(private))}`): "
            "the sender has to make a new one"
        )
    try:
        key = key_set.read_key(jwk, header.algorithm)
    except ValueError as problem:
        raise DpopProofInvalid(
            f"the DPoP proof's `jwk` is no key for {header.algorithm}: it {problem}"
        ) from None
    return ProofKey(key, thumbprint(jwk))


def thumbprint(jwk: Mapping[str, Json]) -> str:
    """Return the SHA-256 thumbprint of a public JWK of a known type (RFC 7638, section 3)."""
    members = {name: jwk[name] for name in _NAMING_MEMBERS[str(jwk["kty"])]}
    text = json.dumps(members, separators=(",", ":"))  # base64url and names: nothing to escape
    return jws.encode_segment(sha256(text.encode()).digest()).decode("ascii")
