"""Attacks on the choice of algorithm: no signature, another one, the key taken for a secret."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json

import jwt.algorithms
import pytest
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from jwt import PyJWK

from policyd.json_types import Json
from policyd.tokens import jws, minting
from policyd.tokens.keys.key_set import KeySetUnusable, read_key_set
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.minting import PrivateKey
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from tests.support.tokens import (
    encoded,
    issuer,
    key,
    key_set,
    reason,
    segments,
    settings,
    token,
    unsigned,
    validator,
    verify,
)

Claims = dict[str, Json]


@pytest.mark.parametrize("spelling", ["none", "None", "NONE", "nOnE", "", " none", "none\u0000"])
@pytest.mark.parametrize("signature", ["", "AA", "real", "stripped dot"])
def test_alg_none(spelling: str, signature: str) -> None:
    """CVE-2022-29217's neighbours: an unsigned token, however spelt, however signed."""
    header: Claims = {"alg": spelling, "kid": key().key_id}
    text = unsigned(header, segments(token())[2] if signature == "real" else "")
    if signature == "AA":
        text += "AA"
    if signature == "stripped dot":
        assert reason(text.removesuffix(".")) == "TOKEN_MALFORMED"
    else:
        assert reason(text) == "ALGORITHM_NOT_ALLOWED"


def _public_key_as(form: str) -> bytes:
    public = PyJWK(key().public_jwk()).key
    assert isinstance(public, rsa.RSAPublicKey)
    der = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
    pem = public.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    forms = {
        "PEM": pem,
        "PEM, PKCS 1": public.public_bytes(Encoding.PEM, PublicFormat.PKCS1),
        "PEM without its last line feed": pem.rstrip(b"\n"),
        "PEM with carriage returns": pem.replace(b"\n", b"\r\n"),
        "PEM behind white space": b" \t\n" + pem,
        "PEM behind a byte order mark": b"\xef\xbb\xbf" + pem,
        "DER": der,
        "DER, encoded": base64.b64encode(der),
        "JWK": json.dumps(key().public_jwk()).encode(),
        "JWK behind a byte order mark": json.dumps(key().public_jwk()).encode("utf-8-sig"),
        "JWK in UTF-16": json.dumps(key().public_jwk()).encode("utf-16"),
        "JWKS": minting.key_set_text(key()),
        "array": json.dumps([key().public_jwk()]).encode(),
        "SSH": public.public_bytes(Encoding.OpenSSH, PublicFormat.OpenSSH),
        "empty": b"",
    }
    return forms[form]


@pytest.mark.parametrize(
    "form",
    [
        "PEM",
        "PEM, PKCS 1",
        "PEM without its last line feed",
        "PEM with carriage returns",
        "PEM behind white space",
        "PEM behind a byte order mark",
        "DER",
        "DER, encoded",
        "JWK",
        "JWK behind a byte order mark",
        "JWK in UTF-16",
        "JWKS",
        "array",
        "SSH",
        "empty",
    ],
)
@pytest.mark.parametrize("algorithm", ["HS256", "HS384", "HS512"])
def test_hmac_keyed_with_the_public_key(form: str, algorithm: str) -> None:
    """CVE-2017-11424 (PKCS 1), CVE-2022-29217 (GHSA-ffqj-6fqr-9h24: SSH, DER),
    CVE-2026-48526 (GHSA-xgmm-8j9v-c9wx: JWK), CVE-2026-102268 (GHSA-ffc3-869f-jxw9: changed PEM),
    CVE-2026-102272 (GHSA-r6x4-923q-g947: JWK behind a byte order mark), CVE-2026-102271
    (GHSA-p4g4-x82p-q773: DER), CVE-2026-102273 (GHSA-w2cx-738m-mc7w: key sets, arrays).
    """
    secret = _public_key_as(form)
    unsigned_part = unsigned({"alg": algorithm, "kid": key().key_id}).removesuffix(".")
    digest = {"HS256": hashlib.sha256, "HS384": hashlib.sha384, "HS512": hashlib.sha512}
    mac = hmac.new(secret, unsigned_part.encode(), digest[algorithm]).digest()

    assert reason(f"{unsigned_part}.{encoded(mac)}") == "ALGORITHM_NOT_ALLOWED"


def test_hmac_cannot_be_configured_nor_published() -> None:
    """With no HMAC at all there is nothing to confuse."""
    with pytest.raises(InvalidIssuerSettings, match="shared secrets"):
        settings(algorithms=("RS256", "HS256"))
    with pytest.raises(KeySetUnusable, match="shared secret"):
        read_key_set(b'{"keys":[{"kty":"oct","k":"AAAA","kid":"s"}]}', ("RS256",))


@pytest.mark.parametrize("secret", ["", "AA", "AAAA"])
def test_an_empty_or_short_secret_that_was_published(secret: str) -> None:
    """CVE-2026-102266 (GHSA-9j54-fg26-wv3r), GHSA-pxh4-856f-4h89: published secrets are no keys."""
    published = {"kty": "oct", "k": secret, "kid": "s", "alg": "HS256"}
    keys = read_key_set(
        json.dumps({"keys": [published, key().public_jwk()]}).encode(), ("RS256", "HS256")
    )
    of = validator(issuer(FixedKeys(keys)))
    assert verify(token(), of).key_id == key().key_id
    unsigned_part = unsigned({"alg": "HS256", "kid": "s"}).removesuffix(".")
    raw = jws.decode_segment(secret.encode(), "secret")
    mac = hmac.new(raw, unsigned_part.encode(), hashlib.sha256).digest()

    assert ("s", "HS256") not in keys.keys
    assert reason(f"{unsigned_part}.{encoded(mac)}", of) == "ALGORITHM_NOT_ALLOWED"


def test_nothing_looks_for_pem_in_what_was_published(monkeypatch: pytest.MonkeyPatch) -> None:
    """CVE-2026-102270 (GHSA-jwrc-g2q2-pq5p): PyJWT's search for PEM took very long; it never runs.

    Not for a published secret that looks like the beginnings of many keys, nor for a token that
    names it and says HS256.
    """
    beginnings = encoded(b"-----BEGIN PUBLIC KEY-----\r" * 5000)

    def searched(_: bytes) -> bool:
        raise AssertionError("PyJWT looked for PEM")

    monkeypatch.setattr(jwt.algorithms, "is_pem_format", searched)
    with pytest.raises(AssertionError, match="looked for PEM"):
        jwt.encode({}, b"x" * 32, "HS256")
    published = {"kty": "oct", "k": beginnings, "kid": "s", "alg": "HS256"}
    keys = read_key_set(json.dumps({"keys": [published, key().public_jwk()]}).encode(), ("RS256",))
    of = validator(issuer(FixedKeys(keys)))

    assert verify(token(), of).key_id == key().key_id
    assert reason(unsigned({"alg": "HS256", "kid": "s"}, "AAAA"), of) == "ALGORITHM_NOT_ALLOWED"


def test_another_algorithm_of_the_same_key() -> None:
    """CVE-2026-48523 (GHSA-jq35-7prp-9v3f): a key verifies the one algorithm it is bound to."""
    of = validator(issuer(FixedKeys(key_set()), algorithms=("RS256", "PS256", "RS512")))
    assert verify(token(), of).algorithm == "RS256"

    for algorithm in ("PS256", "RS512"):
        other = PrivateKey(algorithm, key().key_id, key().jwk)
        assert reason(token(by=other), of) == "ALGORITHM_NOT_ALLOWED"


def test_a_header_that_promises_another_algorithm_than_it_was_signed_with() -> None:
    as_pss = PrivateKey("PS256", key().key_id, key().jwk)

    assert reason(token(by=as_pss, header={"alg": "RS256"})) == "SIGNATURE_INVALID"


@pytest.mark.parametrize("algorithm", ["rs256", "RS256 ", "RS384", "ES256", "EdDSA", "RS1"])
def test_an_algorithm_that_is_not_configured(algorithm: str) -> None:
    assert reason(token(header={"alg": algorithm})) == "ALGORITHM_NOT_ALLOWED"
