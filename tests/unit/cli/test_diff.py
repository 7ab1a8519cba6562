from __future__ import annotations

import json
import subprocess
from pathlib import Path

import pytest

from tests.support.cli import Run
from tests.support.tooling import POLICY, write

WIDER = POLICY + "\nallow more: update on patient\n    when scope read:patients\n"


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    old, new = tmp_path / "old", tmp_path / "new"
    old.mkdir()
    new.mkdir()
    return write(old, health=POLICY), write(new, health=WIDER)


def test_folders(policyd: Run, folders: tuple[Path, Path]) -> None:
    shown = policyd("diff", *folders)
    assert shown.code == 0
    first, *lines = shown.out.splitlines()
    assert first.startswith("1 action gains, 0 lose, ")
    assert "health: update on patient" in lines
    assert any("allowed by more now" in line for line in lines)
    assert "health: rule `more` is new" in lines
    assert not any("no token of" in line or "not confirmed" in line for line in lines)


def test_the_same_on_both_sides(policyd: Run, folders: tuple[Path, Path]) -> None:
    shown = policyd("diff", folders[0], folders[0], "--fail-on", "any")
    assert shown.code == 0
    assert shown.out.startswith("0 actions gain, 0 lose, ")


def test_fail_on(policyd: Run, folders: tuple[Path, Path]) -> None:
    old, new = folders
    assert policyd("diff", old, new, "--fail-on", "gains").code == 1
    assert policyd("diff", old, new, "--fail-on", "loses").code == 0
    assert policyd("diff", new, old, "--fail-on", "loses").code == 1
    assert policyd("diff", new, old, "--fail-on", "gains").code == 0


def test_formats(policyd: Run, folders: tuple[Path, Path]) -> None:
    document = json.loads(policyd("diff", *folders, "--format", "json").out)
    assert (document["gains"], document["loses"]) == (1, 0)
    (plan,) = document["plans"]
    (change,) = plan["changes"]
    assert (change["before"], change["after"], change["rules_after"]) == ("deny", "allow", ["more"])
    assert change["minted"] == {"auth0": True, "rfc9068": True}
    markdown = policyd("diff", *folders, "--format", "markdown").out
    assert markdown.startswith("### Policies: 1 action gains")
    assert "```policy" in markdown
    page = policyd("diff", *folders, "--format", "html").out
    assert page.startswith("<!doctype html>")
    assert "<script" not in page
    assert "allowed</b> by more" in page


def test_commits(policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def git(*words: str) -> None:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        subprocess.run(["git", *identity, *words], cwd=tmp_path, check=True, capture_output=True)

    git("init", "-q")
    (tmp_path / "policies").mkdir()
    (tmp_path / ".gitattributes").write_text("*.policy export-ignore\n")
    write(tmp_path / "policies", health=POLICY, health_test="no test at all")
    git("add", ".")
    git("commit", "-qm", "one")
    write(tmp_path / "policies", health=WIDER)
    monkeypatch.chdir(tmp_path)

    now = policyd("diff", "HEAD")
    assert now.out.startswith("1 action gains, 0 lose")
    git("commit", "-qam", "two")
    assert policyd("diff", "HEAD").out.startswith("0 actions gain, 0 lose")
    back = policyd("diff", "HEAD", "HEAD~1", "--policies", "policies")
    assert back.out.startswith("0 actions gain, 1 loses")
    unknown = policyd("diff", "no-such-revision")
    assert unknown.code == 2
    assert "no-such-revision is neither a folder nor a commit" in unknown.err
    sly = policyd("diff", "--", "--output=x", "HEAD")
    assert sly.code == 2
    assert not (tmp_path / "x").exists()


def test_policies_that_do_not_load(policyd: Run, folders: tuple[Path, Path]) -> None:
    (folders[1] / "health.policy").write_text(
        POLICY + "\nallow odd: fly on patient\n    when true\n"
    )
    shown = policyd("diff", *folders)
    assert shown.code == 2
    assert "do not load" in shown.err
