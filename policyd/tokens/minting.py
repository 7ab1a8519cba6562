"""Keys and tokens for a development issuer, `policyd token mint`, and tests.

Nothing here is used to verify. A private key is a JWK (RFC 7517) with its private members, kept as
JSON; `write_private_key` makes a file that only its owner can read.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Callable, Mapping
from functools import cached_property
from pathlib import Path
from typing import Final

import msgspec
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, rsa
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    PublicFormat,
)

from policyd.errors import PolicydError
from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.algorithms import ALGORITHMS, canonical_algorithm
from policyd.tokens.details import escaped
from policyd.tokens.refusals import TokenMalformed

_PRIVATE_MEMBERS: Final = ("d", "p", "q", "dp", "dq", "qi", "oth", "k")
_RSA_BITS: Final = 2048
_CURVES: Final[Mapping[str, tuple[str, ec.EllipticCurve]]] = {
    "ES256": ("P-256", ec.SECP256R1()),
    "ES384": ("P-384", ec.SECP384R1()),
    "ES512": ("P-521", ec.SECP521R1()),
}


class InvalidPrivateKey(PolicydError):
    """What was given is no private key that policyd can sign with."""


class PrivateKey(msgspec.Struct, frozen=True, dict=True):
    """A private key bound to one algorithm. `jwk` holds its private members: never print it."""

    algorithm: str
    key_id: str
    jwk: Mapping[str, Json]

    def __repr__(self) -> str:
        return f"PrivateKey({self.algorithm}, {self.key_id})"

    @cached_property
    def signer(self) -> Callable[[bytes], bytes]:
        """What signs with this key. Raises `InvalidPrivateKey` when it does not work."""
        try:
            return jws.import_signer(self.jwk, self.algorithm)
        except ValueError as problem:
            raise InvalidPrivateKey(str(problem)) from None

    def public_jwk(self) -> dict[str, Json]:
        """Return the public half, as a key set publishes it."""
        return {name: value for name, value in self.jwk.items() if name not in _PRIVATE_MEMBERS}


def generate_key(algorithm: str = "RS256", key_id: str | None = None) -> PrivateKey:
    """Make a new key for one of the supported algorithms. Raises `InvalidPrivateKey`."""
    name = canonical_algorithm(algorithm)
    if name not in ALGORITHMS:
        raise InvalidPrivateKey(f"no key can be made for the algorithm {escaped(algorithm)}")
    key_id = key_id or secrets.token_urlsafe(12)
    members: dict[str, Json] = {"kid": key_id, "alg": name, "use": "sig"}
    if name in _CURVES:
        members |= _elliptic_members(*_CURVES[name])
    elif name == "EdDSA":
        members |= _edwards_members()
    else:
        members |= _rsa_members()
    return PrivateKey(name, key_id, members)


def read_private_key(text: bytes) -> PrivateKey:
    """Read a private JWK that has `alg` and `kid`. Raises `InvalidPrivateKey`."""
    try:
        members = jws.read_object(text, "key")
    except TokenMalformed as problem:
        raise InvalidPrivateKey(str(problem)) from None
    algorithm, key_id = members.get("alg"), members.get("kid")
    if not isinstance(algorithm, str) or canonical_algorithm(algorithm) not in ALGORITHMS:
        raise InvalidPrivateKey(f"the key's `alg` must be one of {', '.join(ALGORITHMS)}")
    if not isinstance(key_id, str) or "d" not in members:
        raise InvalidPrivateKey("the key must have a `kid`, and its private members")
    return PrivateKey(canonical_algorithm(algorithm), key_id, members)


def write_private_key(key: PrivateKey, path: Path) -> None:
    """Write a private key to a new file with mode 0600. Raises `FileExistsError`, `OSError`."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        json.dump(key.jwk, file, indent=2)
        file.write("\n")


def key_set_text(*keys: PrivateKey) -> bytes:
    """Return the JWK Set with the public halves of `keys`, as JSON."""
    return json.dumps({"keys": [key.public_jwk() for key in keys]}).encode()


def sign(
    key: PrivateKey, claims: Mapping[str, Json], header: Mapping[str, Json] | None = None
) -> str:
    """Sign `claims` as a JWT. `header` is added to, and overrides, `alg`, `kid` and `typ`.

    Raises `InvalidPrivateKey` when the key does not work.
    """
    parameters = {"alg": key.algorithm, "kid": key.key_id, "typ": "JWT", **(header or {})}
    return sign_bytes(key, _compact(parameters), _compact(claims))


def sign_bytes(key: PrivateKey, header: bytes, payload: bytes) -> str:
    """Sign any two byte strings as header and payload of a JWS in compact serialisation."""
    message = jws.encode_segment(header) + b"." + jws.encode_segment(payload)
    return (message + b"." + jws.encode_segment(key.signer(message))).decode("ascii")


def _compact(members: Mapping[str, Json]) -> bytes:
    """Write JSON as issuers do: without white space."""
    return json.dumps(members, separators=(",", ":")).encode()


def _rsa_members() -> dict[str, Json]:
    numbers = rsa.generate_private_key(public_exponent=65537, key_size=_RSA_BITS).private_numbers()
    public = numbers.public_numbers
    return {
        "kty": "RSA",
        "n": _number(public.n),
        "e": _number(public.e),
        "d": _number(numbers.d),
        "p": _number(numbers.p),
        "q": _number(numbers.q),
        "dp": _number(numbers.dmp1),
        "dq": _number(numbers.dmq1),
        "qi": _number(numbers.iqmp),
    }


def _elliptic_members(name: str, curve: ec.EllipticCurve) -> dict[str, Json]:
    numbers = ec.generate_private_key(curve).private_numbers()
    size = (curve.key_size + 7) // 8
    return {
        "kty": "EC",
        "crv": name,
        "x": _number(numbers.public_numbers.x, size),
        "y": _number(numbers.public_numbers.y, size),
        "d": _number(numbers.private_value, size),
    }


def _edwards_members() -> dict[str, Json]:
    key = ed25519.Ed25519PrivateKey.generate()
    return {
        "kty": "OKP",
        "crv": "Ed25519",
        "x": _text(key.public_key().public_bytes(Encoding.Raw, PublicFormat.Raw)),
        "d": _text(key.private_bytes(Encoding.Raw, PrivateFormat.Raw, NoEncryption())),
    }


def _number(value: int, size: int | None = None) -> str:
    return _text(value.to_bytes(size or (value.bit_length() + 7) // 8, "big"))


def _text(data: bytes) -> str:
    return jws.encode_segment(data).decode("ascii")
