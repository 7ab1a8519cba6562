"""The examples of RFC 7520: what is signed verifies with the RFC's keys, all else has its reason.

The texts are the RFC's own, in `vectors/rfc7520.json`. Their payload is prose, so no example can
become an access token: the signatures are verified by `tokens.jws` itself.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import TypedDict

import pytest

from policyd.json_types import Json
from policyd.tokens import jws
from policyd.tokens.keys.key_set import KeySetUnusable, read_key_set
from tests.support.tokens import ISSUER, encoded, reason, token, validator, verify

Key = dict[str, Json]


class Examples(TypedDict):
    payload: str
    keys: dict[str, Key]


FILE: Examples = json.loads((Path(__file__).parent / "vectors" / "rfc7520.json").read_text())
TEXTS: dict[str, dict[str, Json]] = json.loads(json.dumps(FILE))
SIGNED = {section: str(text) for section, text in TEXTS["signed"].items()}


def published(*names: str) -> bytes:
    return json.dumps({"keys": [FILE["keys"][name] for name in names]}).encode()


@pytest.mark.parametrize(
    ("section", "algorithm", "key"),
    [
        ("4.1", "RS256", "3.3 RSA public"),
        ("4.2", "PS384", "3.3 RSA public"),
        ("4.3", "ES512", "3.1 EC public"),
        ("4.1", "RS256", "3.4 RSA private"),
        ("4.3", "ES512", "3.2 EC private"),
    ],
)
def test_signatures_verify(section: str, algorithm: str, key: str) -> None:
    """Private members of a key that somebody published are dropped; its public half verifies."""
    text = jws.split(SIGNED[section])
    header = jws.read_header(jws.decode_header(text.header))
    keys = read_key_set(published(key), (algorithm,))
    verifying = keys.keys[header.key_id or "", header.algorithm]
    signature = jws.decode_segment(text.signature, "signature")

    assert (header.algorithm, header.key_id) == (algorithm, "bilbo.baggins@hobbiton.example")
    assert text.payload.decode() == FILE["payload"]
    assert verifying.verify(text.signing_input, signature)
    assert not verifying.verify(text.signing_input + b"A", signature)
    assert not verifying.verify(text.signing_input, signature[:-1] + bytes([signature[-1] ^ 1]))


@pytest.mark.parametrize("section", sorted(SIGNED))
def test_prose_is_no_access_token(section: str) -> None:
    of = validator(max_token_bytes=128 * 1024)
    assert verify(token(), of).issuer == ISSUER

    assert reason(SIGNED[section], of) == "TOKEN_MALFORMED"


def test_a_shared_secret_is_no_key() -> None:
    """Section 4.4: HS256. Its key is not imported, and its algorithm not in any issuer's list."""
    header = jws.read_header(jws.decode_header(jws.split(SIGNED["4.4"]).header))
    assert header.algorithm == "HS256"

    with pytest.raises(KeySetUnusable, match="shared secret"):
        read_key_set(published("3.5 symmetric, MAC"), ("RS256",))
    with pytest.raises(KeySetUnusable, match="shared secret"):
        read_key_set(published("3.6 symmetric, encryption"), ("RS256",))
    as_claimed = token(header={"alg": "HS256", "kid": header.key_id})
    assert reason(as_claimed) == "ALGORITHM_NOT_ALLOWED"


@pytest.mark.parametrize("section", ["4.1", "4.2", "4.3", "4.4"])
def test_detached_content(section: str) -> None:
    """Section 4.5: the payload travels elsewhere."""
    header, payload, signature = SIGNED[section].split(".")
    assert payload

    assert reason(f"{header}..{signature}") == "TOKEN_MALFORMED"


@pytest.mark.parametrize("example", sorted(TEXTS["serialised as JSON"]))
def test_the_json_serialisation(example: str) -> None:
    """Sections 4.1 to 4.8. Dots inside do not make it look like five segments, as in 4.8."""
    text = json.dumps(TEXTS["serialised as JSON"][example])

    assert reason(text) == "TOKEN_MALFORMED"


@pytest.mark.parametrize("section", sorted(TEXTS["encrypted"]))
def test_encrypted_content(section: str) -> None:
    """Sections 5.1 to 5.9: five segments."""
    assert reason(str(TEXTS["encrypted"][section])) == "TOKEN_ENCRYPTED"


@pytest.mark.parametrize("example", sorted(TEXTS["encrypted as JSON"]))
def test_encrypted_content_as_json(example: str) -> None:
    assert reason(json.dumps(TEXTS["encrypted as JSON"][example])) == "TOKEN_MALFORMED"


def test_the_examples_are_all_there() -> None:
    assert sorted(SIGNED) == ["4.1", "4.2", "4.3", "4.4"]
    assert len(TEXTS["serialised as JSON"]) >= 12
    assert sorted(TEXTS["encrypted"]) == [f"5.{number}" for number in range(1, 10)]
    assert {example[:4].strip() for example in TEXTS["encrypted as JSON"]} >= {"5.10", "5.11"}
    assert encoded(b"It\xe2\x80\x99s a dangerous") == FILE["payload"][:24]
