from __future__ import annotations

import json
from base64 import urlsafe_b64decode
from pathlib import Path

import pytest

from policyd.cli import token
from policyd.server import development
from policyd.tokens.minting import (
    generate_key,
    key_set_text,
    read_private_key,
    write_private_key,
)
from tests.support.cli import Run

BASICS = ("--issuer", "https://issuer.example/", "--audience", "https://example.com/health-api")


@pytest.fixture
def key(tmp_path: Path) -> Path:
    path = tmp_path / "key.json"
    write_private_key(generate_key("EdDSA", "k1"), path)
    return path


def _part(token: str, index: int) -> dict[str, object]:
    segment = token.strip().split(".")[index]
    read = json.loads(urlsafe_b64decode(segment + "=" * (-len(segment) % 4)))
    assert isinstance(read, dict)
    return read


def test_minted_token_holds_what_was_asked(policyd: Run, key: Path) -> None:
    scopes = ("--scope", "read:patients", "--scope", "read:admin")
    result = policyd("token", "mint", "--key", key, *BASICS, *scopes, "--lifetime", "60")
    assert (result.code, result.err) == (0, "")
    assert _part(result.out, 0) == {"alg": "EdDSA", "kid": "k1", "typ": "JWT"}
    claims = _part(result.out, 1)
    times = (claims.pop("iat"), claims.pop("exp"))
    assert isinstance(times[0], int)
    assert times[1] == times[0] + 60
    assert claims.pop("jti")
    assert claims == {
        "iss": "https://issuer.example/",
        "sub": "auth0|developer",
        "aud": "https://example.com/health-api",
        "azp": "development",
        "scope": "read:patients read:admin",
    }


def test_dialect_of_rfc_9068(policyd: Run, key: Path) -> None:
    mint = ("token", "mint", "--key", key, *BASICS, "--audience", "b", "--client", "app")
    token = policyd(*mint, "--dialect", "rfc9068", "--subject", "u").out
    assert _part(token, 0)["typ"] == "at+jwt"
    claims = _part(token, 1)
    assert claims["client_id"] == "app"
    assert claims["aud"] == ["https://example.com/health-api", "b"]
    assert claims["sub"] == "u"
    assert "azp" not in claims


def test_more_claims_win(policyd: Run, key: Path) -> None:
    mint = ("token", "mint", "--key", key, *BASICS, "--claims", "-")
    claims = _part(policyd(*mint, stdin='{"sub": "x", "org_id": "o"}').out, 1)
    assert (claims["sub"], claims["org_id"]) == ("x", "o")
    assert policyd(*mint, stdin="[]").code == 2


def test_key_comes_from_a_file_or_standard_input(policyd: Run, key: Path, tmp_path: Path) -> None:
    text = key.read_text(encoding="utf-8")
    assert policyd("token", "mint", "--key", "-", *BASICS, stdin=text).code == 0
    for wrong in ("{}", "no key"):
        result = policyd("token", "mint", "--key", "-", *BASICS, stdin=wrong)
        assert (result.code, result.out) == (2, "")
    assert policyd("token", "mint", "--key", tmp_path / "gone", *BASICS).code == 2


def test_private_key_is_never_printed(policyd: Run, key: Path) -> None:
    secret = json.loads(key.read_text(encoding="utf-8"))["d"]
    result = policyd("token", "mint", "--key", key, *BASICS)
    assert secret not in result.out + result.err


def _minted(policyd: Run, key: Path, folder: Path) -> str:
    (folder / "keys.json").write_bytes(key_set_text(read_private_key(key.read_bytes())))
    return policyd("token", "mint", "--key", key, *BASICS, "--scope", "read:patients").out


def _trust(folder: Path) -> tuple[object, ...]:
    return (
        *("--jwks", folder / "keys.json", "--issuer", "https://issuer.example/"),
        *("--dialect", "auth0", "--algorithm", "EdDSA"),
        *("--audience", "https://example.com/health-api"),
    )


def test_inspecting_without_keys_judges_what_it_can(
    policyd: Run, key: Path, tmp_path: Path
) -> None:
    token = _minted(policyd, key, tmp_path)
    result = policyd("token", "inspect", stdin=token)
    assert (result.code, result.err) == (0, "")
    assert '  scope: "read:patients"\n' in result.out
    assert "  ok       payload" in result.out
    assert "  skipped  algorithm, key, signature, kind, time\n" in result.out
    assert result.out.endswith("answer   no step failed, but not every step could run\n")


def test_inspecting_a_valid_token(policyd: Run, key: Path, tmp_path: Path) -> None:
    (tmp_path / "token").write_text(_minted(policyd, key, tmp_path), encoding="ascii")
    result = policyd("token", "inspect", tmp_path / "token", *_trust(tmp_path))
    assert result.code == 0
    assert result.out.endswith("answer   the token is valid\n")
    assert "skipped" not in result.out


def test_inspecting_shows_every_step_that_fails(policyd: Run, key: Path, tmp_path: Path) -> None:
    token = _minted(policyd, key, tmp_path)
    late = ("--at", "2099-01-01T00:00:00Z", "--audience", "other", "--format", "json")
    trust = [word for word in _trust(tmp_path) if word != "https://example.com/health-api"][:-1]
    result = policyd("token", "inspect", "-", *trust, *late, stdin=token)
    assert result.code == 1
    document = json.loads(result.out)
    failed = [step["reason"] for step in document["steps"] if step["verdict"] == "failed"]
    assert failed == ["TOKEN_EXPIRED", "AUDIENCE_MISMATCH"]
    assert document["reason"] == "TOKEN_EXPIRED"
    assert document["valid"] is False
    assert document["claims"]["sub"] == "auth0|developer"


def test_inspecting_what_is_no_token(policyd: Run) -> None:
    result = policyd("token", "inspect", stdin="\x1b[2J")
    assert result.code == 1
    assert "cannot be read" in result.out
    assert "answer   refused: TOKEN_MALFORMED\n" in result.out
    assert "\x1b" not in result.out


def test_inspecting_never_shows_the_token(policyd: Run, key: Path, tmp_path: Path) -> None:
    token = _minted(policyd, key, tmp_path).strip()
    for style in ("text", "json"):
        shown = policyd("token", "inspect", "--format", style, stdin=token)
        assert not any(segment in shown.out + shown.err for segment in token.split("."))


def test_a_token_for_the_development_issuer_and_the_only_api(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert token.DEVELOPMENT_ISSUER == development.ISSUER
    write_private_key(generate_key(), tmp_path / "key.json")
    monkeypatch.chdir(tmp_path)
    options = ("token", "mint", "--key", "key.json", "--scope", "read:items")
    lost = policyd(*options)
    assert lost.code == 2
    assert lost.err.endswith("name the API that the token is for: --audience\n")
    assert policyd("init", "shop").code == 0
    monkeypatch.chdir(tmp_path / "shop")
    minted = policyd(*options[:3], "../key.json", *options[4:])
    claims = _part(minted.out, 1)
    assert claims["iss"] == development.ISSUER
    assert claims["aud"] == "https://example.com/shop"
    Path("policies/other.policy").write_text(
        Path("policies/shop.policy")
        .read_text()
        .replace("api shop", "api other")
        .replace("example.com/shop", "example.com/other")
    )
    several = policyd(*options[:3], "../key.json", *options[4:])
    assert several.err.endswith("one of https://example.com/other, https://example.com/shop\n")
    Path("policies/other.policy").write_text("api")
    assert "correct them, or give --audience" in policyd(*options[:3], "../key.json").err


def test_a_null_takes_a_claim_out(policyd: Run, key: Path, tmp_path: Path) -> None:
    (tmp_path / "more.json").write_text('{"aud": null, "org_id": "org_1"}')
    result = policyd("token", "mint", "--key", key, *BASICS, "--claims", tmp_path / "more.json")
    claims = _part(result.out, 1)
    assert "aud" not in claims
    assert claims["org_id"] == "org_1"
