"""Attacks on signatures and keys: degenerate, malleable, weak."""

from __future__ import annotations

import json
from collections.abc import Callable
from hashlib import sha256

import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature

from policyd.tokens import jws, minting
from policyd.tokens.keys.key_set import KeySetUnusable, read_key_set
from policyd.tokens.keys.source import FixedKeys
from tests.support.tokens import encoded, issuer, key, reason, segments, token, validator, verify


def _elliptic_signature(make: Callable[[int, int], bytes]) -> str:
    text = token(by=key("ES256"))
    header, payload, signature = segments(text)
    raw = jws.decode_segment(signature.encode(), "signature")
    r, s = int.from_bytes(raw[:32], "big"), int.from_bytes(raw[32:], "big")
    return f"{header}.{payload}.{encoded(make(r, s))}"


def _der(r: int, s: int) -> bytes:
    def integer(value: int) -> bytes:
        data = value.to_bytes(33, "big").lstrip(b"\x00")
        data = b"\x00" + data if data[0] & 0x80 else data
        return b"\x02" + bytes([len(data)]) + data

    content = integer(r) + integer(s)
    return b"\x30" + bytes([len(content)]) + content


ORDER = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551


def _raw(r: int, s: int) -> bytes:
    return r.to_bytes(32, "big") + s.to_bytes(32, "big")


@pytest.mark.parametrize(
    "make",
    [
        _der,
        lambda r, s: bytes(64),
        lambda r, s: _raw(0, s),
        lambda r, s: _raw(r, 0),
        lambda r, s: _raw(ORDER, ORDER),
        lambda r, s: _raw(r, ORDER),
        lambda r, s: _raw(s, r),
        lambda r, s: _raw(r, s)[:-1],
        lambda r, s: _raw(r, s) + b"\x00",
        lambda r, s: b"\x00" + _raw(r, s) + b"\x00",
        lambda r, s: b"",
        lambda r, s: b"\xff" * 64,
    ],
    ids=[
        "DER",
        "zeros",
        "r=0",
        "s=0",
        "n,n",
        "s=n",
        "swapped",
        "short",
        "long",
        "wide",
        "none",
        "ff",
    ],
)
def test_degenerate_ecdsa_signatures(make: Callable[[int, int], bytes]) -> None:
    of = validator(issuer(algorithms=("ES256",)))
    assert verify(_elliptic_signature(_raw), of).algorithm == "ES256"

    text = _elliptic_signature(make)

    assert reason(text, of) == "SIGNATURE_INVALID"


def test_the_twin_of_an_ecdsa_signature_is_another_token_with_the_same_facts() -> None:
    """s and n-s both verify: nothing may hang on a token's bytes (revocation goes by claims)."""
    of = validator(issuer(algorithms=("ES256",)))
    twin = _elliptic_signature(lambda r, s: _raw(r, ORDER - s))

    assert verify(twin, of).claims == verify(_elliptic_signature(_raw), of).claims
    assert decode_dss_signature(_der(1, 2)) == (1, 2)


@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "ES384", "ES512", "EdDSA"])
def test_any_changed_bit_of_any_segment(algorithm: str) -> None:
    of = validator(issuer(algorithms=(algorithm,)))
    text = token(by=key(algorithm))
    assert verify(text, of).algorithm == algorithm
    header, payload, signature = (
        bytearray(jws.decode_segment(part.encode(), "part")) for part in segments(text)
    )

    payload[-20] ^= 1
    changed = ".".join(encoded(bytes(part)) for part in (header, payload, signature))
    assert reason(changed, of) == "SIGNATURE_INVALID"
    payload[-20] ^= 1
    signature[len(signature) // 2] ^= 1
    changed = ".".join(encoded(bytes(part)) for part in (header, payload, signature))
    assert reason(changed, of) == "SIGNATURE_INVALID"


def test_a_point_off_the_curve_and_weak_rsa_are_no_keys() -> None:
    """CVE-2025-45768 (GHSA-xpf8-484v-j9w6): keys too short for their algorithm verify nothing."""
    elliptic = key("ES256").public_jwk()
    weak = rsa.generate_private_key(public_exponent=65537, key_size=1024).public_key()
    small = encoded(weak.public_numbers().n.to_bytes(128, "big"))
    assert read_key_set(minting.key_set_text(key()), ("RS256",)).skipped == ()

    for bad in (
        {**elliptic, "y": elliptic["x"]},
        {**key().public_jwk(), "n": small},
        {**key().public_jwk(), "e": "AQ"},
    ):
        with pytest.raises(KeySetUnusable, match="no usable key"):
            read_key_set(json.dumps({"keys": [bad]}).encode(), ("RS256", "ES256"))


def test_a_signature_with_e_1_forged_for_anyone() -> None:
    """With e = 1 the padded hash is its own signature; such a key is never imported."""
    weak = {**key(name="weak").public_jwk(), "kid": "weak", "e": "AQ"}
    keys = read_key_set(json.dumps({"keys": [weak, key().public_jwk()]}).encode(), ("RS256",))
    of = validator(issuer(FixedKeys(keys)))
    assert verify(token(), of).subject == "auth0|123456"
    signed = ".".join(segments(token(header={"kid": "weak"}))[:2])
    # RFC 8017, section 9.2: DigestInfo of SHA-256, and the hash.
    info = bytes.fromhex("3031300d060960864801650304020105000420")
    padded = b"\x00" + info + sha256(signed.encode()).digest()
    forged = b"\x00\x01".ljust(256 - len(padded), b"\xff") + padded

    assert len(keys.skipped) == 1
    assert reason(f"{signed}.{encoded(forged)}", of) == "KEY_UNKNOWN"


@pytest.mark.parametrize("private", ["RS256", "ES256", "EdDSA"])
def test_a_private_key_that_was_published_is_used_by_its_public_half(private: str) -> None:
    """CVE-2026-102275: private members are dropped before anything derives from them."""
    other = key(private, "other")
    mixed = {**key(private).public_jwk(), "d": other.jwk["d"]}
    keys = read_key_set(json.dumps({"keys": [mixed]}).encode(), (private,))
    of = validator(issuer(FixedKeys(keys), algorithms=(private,)))

    assert verify(token(by=key(private)), of).algorithm == private
    assert reason(token(by=other, header={"kid": key(private).key_id}), of) == "SIGNATURE_INVALID"


def test_one_malformed_key_does_not_bring_down_the_set() -> None:
    """CVE-2026-102274 (PyJWT 2.14.0 names GHSA-w6j9-cwv2-h6wq): a bad key is its own trouble."""
    bad = {**key().public_jwk(), "kid": "bad", "n": "!!!"}
    keys = read_key_set(json.dumps({"keys": [bad, key().public_jwk()]}).encode(), ("RS256",))

    assert verify(token(), validator(issuer(FixedKeys(keys)))).subject == "auth0|123456"
