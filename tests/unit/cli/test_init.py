from __future__ import annotations

import json
from pathlib import Path

import pytest

from policyd.config.configuration import load_configuration
from policyd.tokens.https.fetch import Document, Fetch
from policyd.tooling.starting import issuer as issuers
from policyd.tooling.starting.issuer import NewIssuer
from tests.support.cli import Run
from tests.unit.tooling.starting.test_openapi import YAML


def passes(policyd: Run, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Run in `folder` what a new set must pass."""
    monkeypatch.chdir(folder)
    for arguments in (
        ("check",),
        ("lint",),
        ("fmt", "--check"),
        ("test", "--coverage", "--fail-under", "100"),
        ("mutate",),
    ):
        result = policyd(*arguments)
        assert (result.code, arguments) == (0, arguments), result


def test_a_new_set_passes_all(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    result = policyd("init", tmp_path / "My Shop")
    assert (result.code, result.out) == (0, "")
    folder = tmp_path / "My Shop"
    files = (path.relative_to(folder) for path in folder.rglob("*") if path.is_file())
    assert sorted(map(str, files)) == [
        ".github/workflows/policies.yml",
        ".pre-commit-config.yaml",
        "policies/my-shop.policy",
        "policies/my-shop_test.policy",
        "policyd.toml",
    ]  # fmt: skip
    assert "What to do next:" in result.err
    assert load_configuration(folder / "policyd.toml").issuers[0].dialect == "rfc9068"
    passes(policyd, folder, monkeypatch)


def test_of_an_openapi_document(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    document = tmp_path / "api.yaml"
    document.write_text(YAML.replace("  /files/{name}.json:\n    get: {}\n", ""))
    result = policyd("init", tmp_path / "pets", "--openapi", document)
    assert result.code == 0
    assert "left out: GET /v1/health needs no token\n" in result.err
    passes(policyd, tmp_path / "pets", monkeypatch)
    assert policyd("check", "--openapi", document).code == 0
    document.write_text(document.read_text().replace("/owners/", "/keepers/"))
    compared = policyd("check", "policies", "--openapi", document)
    assert compared.code == 1
    assert compared.out.count("error[P5023]") == compared.out.count("error[P5025]") == 2
    missing = policyd("check", "policies", "--openapi", tmp_path / "none.json")
    assert missing.code == 2
    assert missing.err == f"Error: {tmp_path}/none.json: No such file or directory\n"


def test_for_an_issuer(policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    found = NewIssuer(
        "https://sso.example.com/realms/shop",
        "keycloak",
        ("RS256", "ES256"),
        ("keys.example.com",),
        notes=("said of it",),
    )
    monkeypatch.setattr("policyd.cli.init.look_up", lambda _: found)
    result = policyd("init", tmp_path / "shop", "--issuer", "https://sso.example.com/realms/shop")
    assert result.err.startswith("said of it\n")
    (settings,) = load_configuration(tmp_path / "shop" / "policyd.toml").issuers
    assert (settings.issuer, settings.dialect) == (found.issuer, "keycloak")
    assert settings.algorithms == ("RS256", "ES256")
    assert settings.jwks_hosts == ("keys.example.com",)
    assert "token from keycloak {" in (tmp_path / "shop/policies/shop_test.policy").read_text()
    passes(policyd, tmp_path / "shop", monkeypatch)


def test_an_issuer_that_is_none_is_said_before_anything_is_written(
    policyd: Run, tmp_path: Path
) -> None:
    result = policyd("init", tmp_path / "shop", "--issuer", "sso")
    assert result.code == 2
    assert result.err.startswith("Error: --issuer: ")
    assert not (tmp_path / "shop").exists()


def test_nothing_is_written_over(policyd: Run, tmp_path: Path) -> None:
    (tmp_path / ".pre-commit-config.yaml").write_text("repos: []\n")
    first = policyd("init", tmp_path)
    assert f"left   {tmp_path}/.pre-commit-config.yaml, which exists\n" in first.err
    assert (tmp_path / ".pre-commit-config.yaml").read_text() == "repos: []\n"
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    again = policyd("init", tmp_path)
    assert again.code == 2
    assert again.err == (
        f"Error: {tmp_path}/policyd.toml exists: name another DIR, or move it away\n"
    )
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_a_folder_that_cannot_be_written(policyd: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    result = policyd("init", tmp_path / "file")
    assert result.code == 2
    assert result.err.startswith(f"Error: {tmp_path}/file/policyd.toml cannot be written: ")


def test_the_issuer_of_a_plain_listener_is_read(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = issuers.look_up
    monkeypatch.setattr("policyd.cli.init.look_up", lambda url: real(url, _documents(url)))
    policyd("init", tmp_path / "shop", "--issuer", "http://127.0.0.1:8080/realms/shop")
    (settings,) = load_configuration(tmp_path / "shop" / "policyd.toml").issuers
    assert settings.allow_http_loopback


def _documents(issuer: str) -> Fetch:
    return lambda _: Document(json.dumps({"issuer": issuer}).encode())
