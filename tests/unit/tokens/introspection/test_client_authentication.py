"""How policyd shows who it is: in the words of the standards, and without a trace of the secret."""

from __future__ import annotations

import base64
import json
import os
from pathlib import Path

import jwt
import pytest

from policyd.tokens.introspection.client_authentication import (
    Credentials,
    CredentialsUnusable,
    credentials,
)
from policyd.tokens.minting import generate_key
from tests.support.asking import introspection
from tests.support.tokens import ISSUER, Clock

CLOCK = Clock()


def of_file(path: Path, **changes: object) -> Credentials:
    settings = introspection(client_secret_env=None, client_secret_file=str(path), **changes)
    return credentials(settings, ISSUER, CLOCK)


def pair(shown: Credentials) -> str:
    scheme, _, encoded = shown.headers["Authorization"].partition(" ")
    assert scheme == "Basic"
    return base64.b64decode(encoded).decode("ascii")


@pytest.mark.parametrize(
    ("client", "secret", "expected"),
    [
        ("policyd", "secret", "policyd:secret"),
        # RFC 6749, appendix B: this very text, and this very encoding.
        ("client", " %&+£€", "client:+%25%26%2B%C2%A3%E2%82%AC"),
        ("a:b", "c:d", "a%3Ab:c%3Ad"),
        ("a", "x/y=z", "a:x%2Fy%3Dz"),
    ],
)
def test_basic_encodes_both_parts(tmp_path: Path, client: str, secret: str, expected: str) -> None:
    file = tmp_path / "secret"
    file.write_text(secret, encoding="utf-8")
    assert pair(of_file(file, client_id=client)) == expected


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_line_break_is_no_part_of_a_secret(tmp_path: Path, end: str) -> None:
    file = tmp_path / "secret"
    file.write_bytes(b" secret " + end.encode())
    assert pair(of_file(file)) == "policyd:+secret+"


def test_a_secret_that_changes_counts_at_once(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    for secret in ("first", "second"):
        file.write_text(secret)
        assert pair(of_file(file)) == f"policyd:{secret}"


def test_a_secret_of_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICYD_TEST_SECRET", "from the environment")
    assert pair(credentials(introspection(), ISSUER, CLOCK)) == "policyd:from+the+environment"


@pytest.mark.parametrize("audience", [None, "https://example.com/token"])
@pytest.mark.parametrize("algorithm", ["RS256", "PS256", "ES256", "EdDSA"])
def test_a_signed_assertion(tmp_path: Path, algorithm: str, audience: str | None) -> None:
    key = generate_key(algorithm, "k1")
    file = tmp_path / "key.jwk"
    file.write_text(json.dumps(key.jwk))
    settings = introspection(
        client_secret_env=None, private_key_file=str(file), assertion_audience=audience
    )
    first, second = (credentials(settings, ISSUER, CLOCK) for _ in range(2))
    assert first.headers == {}
    assert first.form["client_id"] == "policyd"
    assert (
        first.form["client_assertion_type"]
        == "urn:ietf:params:oauth:client-assertion-type:jwt-bearer"
    )
    claims = jwt.decode(
        first.form["client_assertion"],
        jwt.PyJWK(key.public_jwk(), algorithm),
        algorithms=[algorithm],
        audience=audience or ISSUER,
        options={"verify_exp": False, "verify_iat": False},
    )
    now = int(CLOCK())
    assert claims == {
        "iss": "policyd",
        "sub": "policyd",
        "aud": audience or ISSUER,
        "iat": now,
        "exp": now + 60,
        "jti": claims["jti"],
    }
    assert first.form["client_assertion"] != second.form["client_assertion"]
    assert jwt.get_unverified_header(first.form["client_assertion"])["kid"] == "k1"


def test_what_cannot_be_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("POLICYD_TEST_SECRET", "")
    (tmp_path / "empty").write_text("\n")
    (tmp_path / "latin1").write_bytes(b"\xe4")
    (tmp_path / "long").write_bytes(b"x" * 20_000)
    (tmp_path / "public").write_text(json.dumps(generate_key("ES256", "k").public_jwk()))
    for changes, setting, complaint in (
        ({}, "client_secret_env", "is not set"),
        ({"client_secret_file": "none"}, "client_secret_file", "No such file"),
        ({"client_secret_file": "empty"}, "client_secret_file", "is empty"),
        ({"client_secret_file": "latin1"}, "client_secret_file", "is not UTF-8"),
        ({"client_secret_file": "long"}, "client_secret_file", "more than"),
        ({"private_key_file": "latin1"}, "private_key_file", "is no private JWK"),
        ({"private_key_file": "public"}, "private_key_file", "is no private JWK"),
    ):
        paths: dict[str, object] = {name: str(tmp_path / file) for name, file in changes.items()}
        if paths:
            paths["client_secret_env"] = None
        with pytest.raises(CredentialsUnusable, match=complaint) as caught:
            credentials(introspection(**paths), ISSUER, CLOCK)
        assert caught.value.setting == setting


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "long").write_bytes(b"x" * (16 * 1024 + 1))

    for path, problem in (
        (tmp_path / "pipe", "it is a pipe and no file"),
        (Path("/dev/zero"), "it is a device and no file"),
        (tmp_path / "long", "it holds more than 16,384 bytes"),
    ):
        with pytest.raises(CredentialsUnusable) as caught:
            of_file(path)
        said = f"`client_secret_file` cannot be read: {str(path)!r}: {problem}"
        assert (str(caught.value), caught.value.setting) == (said, "client_secret_file")


def test_nothing_prints_a_secret(tmp_path: Path) -> None:
    file = tmp_path / "secret"
    file.write_text("sesame")
    shown = of_file(file)
    assert "sesame" not in repr(shown)
    assert shown.headers["Authorization"] not in repr(shown)
