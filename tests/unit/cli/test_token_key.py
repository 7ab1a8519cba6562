from __future__ import annotations

import json
from pathlib import Path

from policyd.tokens.keys.key_set import read_key_set
from policyd.tokens.minting import read_private_key
from tests.support.cli import Run


def test_makes_a_key_and_the_set_that_trusts_it(policyd: Run, tmp_path: Path) -> None:
    private, public = tmp_path / "key.jwk", tmp_path / "keys.json"
    result = policyd("token", "key", "--private", private, "--public", public)
    assert (result.code, result.out) == (0, f"wrote  {private}\nwrote  {public}\n")
    assert private.stat().st_mode & 0o077 == 0
    key = read_private_key(private.read_bytes())
    assert read_key_set(public.read_bytes(), ["RS256"]).key_ids == {key.key_id}
    assert "d" not in json.loads(public.read_text())["keys"][0]


def test_signs_with_the_algorithm_that_is_asked_for(policyd: Run, tmp_path: Path) -> None:
    files = ("--private", tmp_path / "key.jwk", "--public", tmp_path / "keys.json")
    assert policyd("token", "key", *files, "--algorithm", "ES256").code == 0
    assert read_private_key((tmp_path / "key.jwk").read_bytes()).algorithm == "ES256"


def test_replaces_no_private_key(policyd: Run, tmp_path: Path) -> None:
    (tmp_path / "key.jwk").write_text("mine")
    files = ("--private", tmp_path / "key.jwk", "--public", tmp_path / "keys.json")
    result = policyd("token", "key", *files)
    assert result.code == 2
    assert "key.jwk exists already: name another file" in result.err
    assert (tmp_path / "key.jwk").read_text() == "mine"
    assert not (tmp_path / "keys.json").exists()


def test_says_which_file_cannot_be_written(policyd: Run, tmp_path: Path) -> None:
    lost = tmp_path / "none" / "file"
    for files in (
        ("--private", lost, "--public", tmp_path / "a"),
        ("--private", tmp_path / "b", "--public", lost),
    ):
        result = policyd("token", "key", *files)
        assert result.code == 2
        assert f"{lost} cannot be written: No such file or directory" in result.err
