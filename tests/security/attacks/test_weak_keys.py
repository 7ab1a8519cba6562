"""Attacks through published keys: whose private half anyone can work out, or of two spellings.

Each weak key is used: its private half is made of the public one, and signs a token.
"""

from __future__ import annotations

import json
from collections.abc import Callable

import pytest
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric.padding import PKCS1v15
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPublicNumbers
from cryptography.hazmat.primitives.hashes import Hash

from policyd.json_types import Json
from policyd.tokens.keys.key_set import read_key_set
from policyd.tokens.keys.source import FixedKeys
from tests.support.tokens import encoded, issuer, key, reason, segments, token, validator, verify

#: Primes. The first two are neighbours of 2**1024.
BELOW, ABOVE = 2**1024 - 105, 2**1024 + 643
PRIME = 2**2048 - 1942289
EXPONENT = 65537

#: Moduli, and the private exponent that anyone finds: by Euler's theorem, or Fermat's little one.
WEAK = {
    "prime": (PRIME, PRIME - 1),
    "square": (BELOW**2, BELOW * (BELOW - 1)),
    "small factor": (PRIME * 3, (PRIME - 1) * 2),
    "close factors": (BELOW * ABOVE, (BELOW - 1) * (ABOVE - 1)),
}


def number(value: int) -> str:
    return encoded(value.to_bytes((value.bit_length() + 7) // 8, "big"))


def forged(modulus: int, order: int) -> str:
    """Return a token signed with what was worked out of a modulus."""
    signed = ".".join(segments(token(header={"kid": "weak"}))[:2])
    size = (modulus.bit_length() + 7) // 8
    # RFC 8017, section 9.2: DigestInfo of SHA-256, and the hash.
    digest = Hash(hashes.SHA256())
    digest.update(signed.encode())
    info = bytes.fromhex("3031300d060960864801650304020105000420") + digest.finalize()
    padded = b"\x00\x01" + b"\xff" * (size - len(info) - 3) + b"\x00" + info
    private = pow(EXPONENT, -1, order)
    signature = pow(int.from_bytes(padded, "big"), private, modulus).to_bytes(size, "big")
    # It is what the arithmetic of signatures takes for one: nothing but the key stands against it.
    RSAPublicNumbers(EXPONENT, modulus).public_key().verify(
        signature, signed.encode(), PKCS1v15(), hashes.SHA256()
    )
    return f"{signed}.{encoded(signature)}"


@pytest.mark.parametrize("kind", list(WEAK))
def test_a_modulus_that_anyone_can_factor(kind: str) -> None:
    modulus, order = WEAK[kind]
    weak: Json = {**key().public_jwk(), "kid": "weak", "n": number(modulus)}
    keys = read_key_set(json.dumps({"keys": [weak, key().public_jwk()]}).encode(), ("RS256",))
    of = validator(issuer(FixedKeys(keys)))

    assert verify(token(), of).subject == "auth0|123456"
    assert reason(forged(modulus, order), of) == "KEY_UNKNOWN"
    assert len(keys.skipped) == 1


def with_padding(text: str) -> str:
    return text + "="


def with_another_last_character(text: str) -> str:
    """Return a text whose last character holds bits that are not used."""
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
    return text[:-1] + alphabet[alphabet.index(text[-1]) + 1]


def with_a_space(text: str) -> str:
    return text + " "


def with_a_zero_byte(text: str) -> str:
    return "AAAA" + text


def cut(text: str) -> str:
    return text[:-4]


#: Of the coordinates of the other curves, every bit is used, or three characters in four are.
MEMBERS = (("RS256", "n"), ("ES256", "x"), ("ES256", "y"), ("EdDSA", "x"))
WAYS = (with_padding, with_another_last_character, with_a_space, with_a_zero_byte, cut)


@pytest.mark.parametrize(
    ("algorithm", "member", "respell"),
    [
        *((algorithm, member, respell) for algorithm, member in MEMBERS for respell in WAYS),
        ("ES384", "x", with_a_space),
        ("ES512", "y", with_a_zero_byte),
        ("ES512", "x", cut),
    ],
)
def test_a_key_has_one_spelling(algorithm: str, member: str, respell: Callable[[str], str]) -> None:
    """Two spellings of one key would have two thumbprints, and walk around what names keys."""
    public = key(algorithm).public_jwk()
    other: Json = {**public, "kid": "respelled", member: respell(str(public[member]))}
    text = json.dumps({"keys": [other, public]}).encode()

    keys = read_key_set(text, (algorithm,))

    assert keys.key_ids == {key(algorithm).key_id}
    assert len(keys.skipped) == 1
