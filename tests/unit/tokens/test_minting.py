"""Keys and tokens for development: they work, and the private half stays private."""

from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from policyd.tokens import minting
from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.keys.source import FixedKeys
from policyd.tokens.minting import InvalidPrivateKey, PrivateKey
from tests.support.tokens import accepted_claims, issuer, key, key_set, validator, verify


@pytest.mark.parametrize("algorithm", ALGORITHMS)
def test_a_generated_key_survives_its_file_and_signs(algorithm: str, tmp_path: Path) -> None:
    made = minting.generate_key(algorithm)
    path = tmp_path / "key.json"

    minting.write_private_key(made, path)
    read = minting.read_private_key(path.read_bytes())

    keys = FixedKeys(key_set(made, algorithms=(algorithm,)))
    of = validator(issuer(keys, algorithms=(algorithm,)))
    assert verify(minting.sign(read, accepted_claims()), of).key_id == made.key_id
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_file_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "key.json"
    path.write_text("mine")

    with pytest.raises(FileExistsError):
        minting.write_private_key(key(), path)
    assert path.read_text() == "mine"


@pytest.mark.parametrize("algorithm", ["RS256", "ES256", "EdDSA"])
def test_the_private_half_is_never_shown(algorithm: str) -> None:
    one = key(algorithm)
    private = str(one.jwk["d"])

    assert private not in repr(one)
    assert private not in json.dumps(one.public_jwk())
    assert set(one.public_jwk()) <= {"kty", "kid", "alg", "use", "n", "e", "crv", "x", "y"}


def test_a_key_may_be_named() -> None:
    assert minting.generate_key("EdDSA", "mine").key_id == "mine"
    assert minting.generate_key("Ed25519").algorithm == "EdDSA"


def test_no_key_is_made_for_a_shared_secret() -> None:
    with pytest.raises(InvalidPrivateKey, match="'HS256'"):
        minting.generate_key("HS256")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (b"-----BEGIN PRIVATE KEY-----", "not JSON"),
        (b'{"kid":"k","d":"x"}', "`alg` must be one of"),
        (b'{"alg":"HS256","kid":"k","d":"x"}', "`alg` must be one of"),
        (b'{"alg":"RS256","d":"x"}', "must have a `kid`"),
        (b'{"alg":"RS256","kid":"k"}', "private members"),
    ],
)
def test_what_is_no_private_key_is_refused(text: bytes, message: str) -> None:
    with pytest.raises(InvalidPrivateKey, match=message):
        minting.read_private_key(text)


def test_a_key_that_does_not_work_is_refused() -> None:
    broken = PrivateKey("ES256", "k", {**key("ES256").jwk, "d": "AA"})

    with pytest.raises(InvalidPrivateKey, match="cannot sign"):
        minting.sign(broken, accepted_claims())
