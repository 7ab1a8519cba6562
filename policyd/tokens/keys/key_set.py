"""Key sets: a JWK Set (RFC 7517) turned into keys that each verify one algorithm.

Input: the text of a JWK Set and the issuer's allowed algorithms. Output: an immutable `KeySet`.
A key that is weak, inconsistent or unusable is skipped and reported, never fatal for the others;
a set that holds no usable key is. Private members and shared secrets are dropped before anything
else sees them.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from hashlib import sha256
from typing import Final

import msgspec

from policyd.errors import PolicydError
from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.algorithms import canonical_algorithm
from policyd.tokens.details import escaped
from policyd.tokens.jws import SigningKey
from policyd.tokens.keys import key_issuer, weak_rsa
from policyd.tokens.refusals import TokenMalformed

MOST_KEYS: Final = 100
SMALLEST_RSA_BITS: Final = 2048
LARGEST_RSA_BITS: Final = 8192
SMALLEST_RSA_EXPONENT: Final = 65537
# A larger exponent makes verifying slow, and nobody has a use for one.
LARGEST_RSA_EXPONENT_BITS: Final = 64

_BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"
_PUBLIC_MEMBERS: Final = {
    "RSA": ("n", "e"),
    "EC": ("crv", "x", "y"),
    "OKP": ("crv", "x"),
}
_CURVE_ALGORITHMS: Final[Mapping[tuple[str, str], tuple[str, ...]]] = {
    ("EC", "P-256"): ("ES256",),
    ("EC", "P-384"): ("ES384",),
    ("EC", "P-521"): ("ES512",),
    ("OKP", "Ed25519"): ("EdDSA",),
}
#: The octets of a coordinate: all of them, leading zeros too (RFC 7518, 6.2.1.2; RFC 8037, 2).
_COORDINATE: Final[Mapping[str, int]] = {"P-256": 32, "P-384": 48, "P-521": 66, "Ed25519": 32}
# The y coordinates of the eight points of Ed25519 (RFC 8032, section 5.1) whose order divides its
# cofactor, 8: for some messages or all, anyone can make a signature that such a key verifies. The
# last two are of order 8.
_EDWARDS_PRIME: Final = 2**255 - 19
_ORDER_8: Final = 2707385501144840649318225287225658788936804267575313519463743609750303402022
_SMALL_ORDER: Final = frozenset((0, 1, _EDWARDS_PRIME - 1, _ORDER_8, _EDWARDS_PRIME - _ORDER_8))
_RSA_ALGORITHMS: Final = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512")


class KeySetUnusable(PolicydError):
    """A JWK Set is unusable. The text says why, and what was expected."""


class KeySet(msgspec.Struct, frozen=True, eq=False):
    """The keys of one issuer at one time.

    `keys` holds those with an id, by id and algorithm; `by_algorithm` holds all, for tokens that
    name no key. `key_ids` are the ids in `keys`; `ambiguous` those that name different keys of one
    algorithm, of which none is usable. `skipped` says for each key left out why. Equal `digest`s
    mean that the same tokens verify.
    """

    keys: Mapping[tuple[str, str], SigningKey]
    by_algorithm: Mapping[str, tuple[SigningKey, ...]]
    key_ids: frozenset[str]
    ambiguous: frozenset[str]
    skipped: tuple[str, ...]
    digest: bytes


def read_key_set(text: bytes, algorithms: Sequence[str], issuer: str | None = None) -> KeySet:
    """Read a JWK Set; `algorithms` are those the issuer may use.

    With `issuer`, keys that say they serve another one are left out. May compute for a twentieth of
    a second a new RSA key, see `weak_rsa`. Raises `KeySetUnusable`.
    """
    try:
        document = jws.read_object(text, "key set")
    except TokenMalformed as problem:
        raise KeySetUnusable(_something_else(text) or str(problem)) from None
    members = document.get("keys")
    if not isinstance(members, list):
        if "kty" in document:
            raise KeySetUnusable(
                "it is a single key, and a key set is expected (RFC 7517, section 5): "
                'write { "keys": [...] } around it'
            )
        raise KeySetUnusable("the key set has no list `keys`")
    if len(members) > MOST_KEYS:
        raise KeySetUnusable(f"the key set has {len(members)} keys, at most {MOST_KEYS} are read")
    allowed = tuple(canonical_algorithm(name) for name in algorithms)
    usable: dict[str, SigningKey] = {}
    skipped: list[str] = []
    for place, member in enumerate(members, 1):
        try:
            key_issuer.check(member, issuer)
            content, key = _read_key(member, allowed, weak_rsa.weakness)
        except ValueError as problem:
            skipped.append(f"key {place}{_called(member)} {problem}")
        else:
            usable[content] = key
    key_set = _assemble(usable, skipped)
    if not key_set.by_algorithm:
        raise KeySetUnusable("; ".join(["the key set has no usable key", *key_set.skipped[:5]]))
    return key_set


def read_key(jwk: Json, algorithm: str) -> SigningKey:
    """Read one public key for `algorithm`, on the path of a call. Raises `ValueError`.

    It is judged as those of a set are, but for what takes long to find out of an RSA modulus: such
    a key is its sender's own, and harms nobody else.
    """
    return _read_key(jwk, (algorithm,), weak_rsa.obvious_weakness)[1]


def _something_else(text: bytes) -> str | None:
    """Return what a text is that is no JSON, where it is a well-known something else."""
    if not text.strip():
        return "it is empty"
    if text.startswith(_BYTE_ORDER_MARK):
        return "it begins with a byte order mark (BOM): save it as UTF-8 without one"
    if text.lstrip().startswith(b"-----BEGIN"):
        return "it is PEM, and a JWK Set is expected (RFC 7517): have the key written as a JWK"
    if text.lstrip().startswith(b"<"):
        return "it is a web page or XML, and a JWK Set is expected: it is not JSON"
    if text.lstrip().startswith(b"["):
        return 'it is a list, and an object is expected: write { "keys": ... } around it'
    return None


def _assemble(usable: Mapping[str, SigningKey], skipped: list[str]) -> KeySet:
    """Put keys together. `usable` is by content, so that a key listed twice is one key."""
    named: dict[tuple[str, str], list[SigningKey]] = {}
    for key in usable.values():
        if key.key_id is not None:
            named.setdefault((key.key_id, key.algorithm), []).append(key)
    clashes = {name for name, keys in named.items() if len(keys) > 1}
    ambiguous = frozenset(key_id for key_id, _ in clashes)
    skipped += [f"key id {escaped(key_id)} names several keys" for key_id in sorted(ambiguous)]
    kept = {
        content: key
        for content, key in usable.items()
        if (key.key_id, key.algorithm) not in clashes
    }
    by_algorithm: dict[str, list[SigningKey]] = {}
    for key in kept.values():
        by_algorithm.setdefault(key.algorithm, []).append(key)
    keys = {name: found[0] for name, found in named.items() if name not in clashes}
    return KeySet(
        keys=keys,
        by_algorithm={name: tuple(found) for name, found in by_algorithm.items()},
        key_ids=frozenset(key_id for key_id, _ in keys),
        ambiguous=ambiguous,
        skipped=tuple(skipped),
        digest=sha256("\n".join(sorted(kept)).encode()).digest(),
    )


def _read_key(
    member: Json, allowed: Sequence[str], weakness: Callable[[int], str | None]
) -> tuple[str, SigningKey]:
    """Return a key and the text that stands for its content. Raises `ValueError`.

    `weakness` judges the modulus of an RSA key.
    """
    if not isinstance(member, dict):
        raise ValueError("is not a JSON object")
    key_type = member.get("kty")
    if key_type == "oct":
        raise ValueError("is a shared secret (`kty` oct), which a key set must not publish")
    if key_type is None:
        raise ValueError("has no key type (`kty`)")
    if not isinstance(key_type, str) or key_type not in _PUBLIC_MEMBERS:
        raise ValueError(f"has the key type {escaped(key_type)}, known are RSA, EC, OKP")
    _check_purpose(member)
    algorithm = _algorithm_of(member, key_type, allowed)
    public = _public_part(member, key_type)
    if key_type == "RSA":
        _check_rsa(public, weakness)
    else:
        _check_coordinates(public)
    key = jws.import_key(public, algorithm)
    return json.dumps([algorithm, public], sort_keys=True), key


def _check_purpose(member: Mapping[str, Json]) -> None:
    if member.get("use", "sig") != "sig":
        raise ValueError(f"is for {escaped(member['use'])}, not for signatures (`use`)")
    operations = member.get("key_ops", ["verify"])
    if not isinstance(operations, list) or "verify" not in operations:
        raise ValueError("is not for verifying (`key_ops`)")


def _algorithm_of(member: Mapping[str, Json], key_type: str, allowed: Sequence[str]) -> str:
    possible: tuple[str, ...] = _RSA_ALGORITHMS
    if key_type != "RSA":
        curve = member.get("crv")
        possible = _CURVE_ALGORITHMS.get((key_type, curve if isinstance(curve, str) else ""), ())
        if curve is None:
            raise ValueError("has no curve (`crv`)")
        if not possible:
            raise ValueError(f"has the curve {escaped(curve)}, which {key_type} keys may not have")
    stated = member.get("alg")
    if stated is not None:
        if not isinstance(stated, str) or canonical_algorithm(stated) not in possible:
            raise ValueError(f"says `alg` {escaped(stated)}, which does not fit its type or curve")
        if canonical_algorithm(stated) not in allowed:
            raise ValueError(f"is for {stated}, which the configured `algorithms` do not allow")
        return canonical_algorithm(stated)
    fitting = [name for name in dict.fromkeys(allowed) if name in possible]
    if not fitting:
        raise ValueError("fits none of the `algorithms` allowed here")
    if len(fitting) > 1:
        raise ValueError(f"has no `alg`, and {', '.join(fitting)} would all fit it")
    return fitting[0]


def _public_part(member: Mapping[str, Json], key_type: str) -> dict[str, Json]:
    public: dict[str, Json] = {"kty": key_type}
    for name in _PUBLIC_MEMBERS[key_type]:
        value = member.get(name)
        if not isinstance(value, str):
            raise ValueError(f"has no text `{name}`")
        public[name] = value
    key_id = member.get("kid")
    if key_id is not None:
        if not isinstance(key_id, str):
            raise ValueError("has a `kid` that is not text")
        public["kid"] = key_id
    return public


def _check_rsa(public: Mapping[str, Json], weakness: Callable[[int], str | None]) -> None:
    """Check what makes an RSA key weak or slow (RFC 7518, 3.3; RFC 8725, 3.5)."""
    modulus, exponent = (_unsigned(public, name) for name in ("n", "e"))
    if not SMALLEST_RSA_BITS <= modulus.bit_length() <= LARGEST_RSA_BITS:
        raise ValueError(
            f"has {modulus.bit_length()} bits, "
            f"RSA keys need {SMALLEST_RSA_BITS} to {LARGEST_RSA_BITS}"
        )
    if exponent.bit_length() > LARGEST_RSA_EXPONENT_BITS:
        raise ValueError("has an exponent of more than 64 bits")
    if exponent < SMALLEST_RSA_EXPONENT or exponent % 2 == 0:
        raise ValueError(f"has the exponent {exponent}, it must be odd and at least 65537")
    weak = weakness(modulus)
    if weak is not None:
        raise ValueError(f"has a modulus that {weak}")


def _check_coordinates(public: Mapping[str, Json]) -> None:
    """Check the coordinates' spelling; whether they are a point is for the import to find."""
    curve = str(public["crv"])
    for name in ("x", "y") if public["kty"] == "EC" else ("x",):
        size, wanted = len(_octets(public, name)), _COORDINATE[curve]
        if size != wanted:
            raise ValueError(
                f"has an `{name}` of {size} bytes, {curve} has {wanted}, leading zeros included "
                "(RFC 7518, section 6.2.1.2)"
            )
    if curve == "Ed25519":
        _check_edwards(public)


def _check_edwards(public: Mapping[str, Json]) -> None:
    """Check that a key of Ed25519 is no point of small order, for which anyone can sign."""
    encoded = _octets(public, "x")
    # Little-endian, the uppermost bit is the sign of the other coordinate (RFC 8032, 5.1.2).
    y = int.from_bytes(encoded, "little") & (1 << 255) - 1
    if y % _EDWARDS_PRIME in _SMALL_ORDER:
        raise ValueError("is a point of small order: anyone can sign for it")
    if y >= _EDWARDS_PRIME:
        raise ValueError("is a point in another spelling than its one (RFC 8032, 5.1.3)")


def _unsigned(public: Mapping[str, Json], name: str) -> int:
    octets = _octets(public, name)
    if octets[:1] == b"\0":
        raise ValueError(
            f"has a `{name}` that begins with a zero byte: it must be as short as can be "
            "(RFC 7518, section 2, Base64urlUInt)"
        )
    return int.from_bytes(octets, "big")


def _octets(public: Mapping[str, Json], name: str) -> bytes:
    text = str(public[name])
    try:
        return jws.decode_segment(text.encode("ascii"), name)
    except (TokenMalformed, UnicodeEncodeError):
        raise ValueError(f"has a `{name}` that is not base64url{_why_not(text)}") from None


def _why_not(text: str) -> str:
    """Return what kept a text from being base64url (RFC 4648, section 5), for what is common."""
    if "=" in text:
        return " without padding: it holds '='"
    if "+" in text or "/" in text:
        return ": it is base64, which writes + and / for - and _"
    return ""


def _called(member: Json) -> str:
    key_id = member.get("kid") if isinstance(member, dict) else None
    return f" (kid {escaped(key_id)})" if key_id is not None else ""
