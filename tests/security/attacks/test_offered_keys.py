"""Attacks through the header: keys that a token brings along, and words that change its reading."""

from __future__ import annotations

import json
import socket

import pytest

from policyd.json_types import Json
from tests.support.tokens import key, reason, segments, token, verify

Claims = dict[str, Json]


@pytest.mark.parametrize("member", ["jwk", "jku", "x5u", "x5c", "x5t", "x5t#S256"])
@pytest.mark.parametrize("known", [True, False])
def test_keys_in_the_header_are_never_looked_at(
    member: str, known: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """CVE-2026-48522 (GHSA-993g-76c3-p5m4): nothing in a token leads anywhere."""

    def connect(*arguments: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", connect)
    monkeypatch.setattr(socket, "getaddrinfo", connect)
    mallory = key(name="mallory")
    offered: Json = mallory.public_jwk() if member == "jwk" else "https://evil.example/keys"
    header: Claims = {member: offered}
    assert verify(token(header=header)).subject == "auth0|123456"

    if known:
        header["kid"] = key().key_id
    expected = "SIGNATURE_INVALID" if known else "KEY_UNKNOWN"
    assert reason(token(by=mallory, header=header)) == expected


@pytest.mark.parametrize(
    "key_id",
    [
        "../../../../dev/null",
        "/dev/null",
        "' OR 1=1 --",
        "a\u0000b",
        "",
        "file:///etc/passwd",
        "${jndi:ldap://evil}",
        "k" * 256,
    ],
)
def test_a_key_id_is_looked_up_and_nothing_else(key_id: str) -> None:
    assert reason(token(header={"kid": key_id})) == "KEY_UNKNOWN"


@pytest.mark.parametrize("key_id", [7, None, ["a"], {}, True, "k" * 257])
def test_a_key_id_that_is_no_short_text(key_id: Json) -> None:
    assert reason(token(header={"kid": key_id})) == "TOKEN_MALFORMED"


def test_a_key_id_of_a_million_bytes() -> None:
    assert reason(token(header={"kid": "k" * 1_000_000})) == "TOKEN_TOO_LARGE"


@pytest.mark.parametrize(
    "header",
    [
        {"crit": ["exp"]},
        {"crit": ["x-unknown"], "x-unknown": 1},
        {"crit": []},
        {"crit": "exp"},
        {"crit": None},
        {"b64": False},
        {"b64": True},
        {"b64": False, "crit": ["b64"]},
        {"zip": "DEF"},
        {"enc": "A256GCM"},
    ],
)
def test_parameters_that_change_what_is_signed(header: Claims) -> None:
    """CVE-2026-32597 (GHSA-752w-5fwx-jx9f): `crit`; CVE-2026-48525 (GHSA-w7vc-732c-9m39): `b64`."""
    assert reason(token(header=header)) == "TOKEN_MALFORMED"


def test_a_detached_payload() -> None:
    header, _, signature = segments(token())

    assert reason(f"{header}..{signature}") == "TOKEN_MALFORMED"


def test_an_encrypted_token_and_json_serialisation() -> None:
    header, payload, signature = segments(token())

    assert reason(f"{header}.{payload}.{payload}.{payload}.{signature}") == "TOKEN_ENCRYPTED"
    serialised = {"protected": header, "payload": payload, "signature": signature}
    assert reason(json.dumps(serialised)) == "TOKEN_MALFORMED"
    assert reason(f"Bearer {token()}") == "TOKEN_MALFORMED"
    # As in RFC 7520, section 4.8: four dots within JSON are no four dots between segments.
    assert reason(json.dumps({**serialised, "header": {"kid": "a.b.c.d.e"}})) == "TOKEN_MALFORMED"
