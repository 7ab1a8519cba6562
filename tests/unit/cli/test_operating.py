"""Where the verbs of operators find the daemon, and the policies of which commits are read."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.support.cli import Run

#: A daemon from a repository has a state folder, and its socket there; with `--dev`, no issuer.
WITHOUT_ISSUERS = """
[policies.git]
url = "https://git.example.com/policies.git"
ref = "main"

[server]
listen = ["127.0.0.1:8181"]
"""


def test_a_daemon_without_issuers_is_found(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policyd.toml").write_text(WITHOUT_ISSUERS)
    monkeypatch.chdir(tmp_path)
    asked = policyd("status", "--timeout", "1")
    assert f"unix:{tmp_path}/state/admin.sock" in asked.err


def test_a_configuration_that_cannot_be_used_says_why(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "policyd.toml").write_text(WITHOUT_ISSUERS.replace("ref =", "reff ="))
    monkeypatch.chdir(tmp_path)
    for verb in (("status",), ("bundle", "build", "HEAD", "--name", "shop")):
        refused = policyd(*verb)
        assert refused.code == 2
        assert "policyd.toml cannot be used" in refused.err
        assert "did you mean `ref`?" in refused.err
