"""What pipelines run: the hooks for pre-commit, and the script of the GitHub action."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

from policyd.cli.main import VERBS
from tests.support.documents import ROOT
from tests.support.editor import MAIN, TESTS


def action(paths: str, **inputs: str) -> subprocess.CompletedProcess[str]:
    """Run the action's script as GitHub would."""
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "INPUT_PATHS": paths}
    environment |= {f"INPUT_{name}": value for name, value in inputs.items()}
    script = ROOT / "scripts" / "action.sh"
    return subprocess.run(
        ["bash", script], cwd=ROOT, env=environment, capture_output=True, text=True, check=False
    )


def test_the_samples_pass() -> None:
    done = action("policies\n", FAIL_UNDER="50")
    assert done.returncode == 0, done.stdout + done.stderr
    assert re.findall(r"::group::policyd (\w+)", done.stdout) == ["fmt", "check", "lint", "test"]


def test_findings_fail_it_and_are_annotations(tmp_path: Path) -> None:
    text = MAIN.replace("same_org\n", "same_or\n")
    line = text[: text.index("same_or\n")].count("\n") + 1
    (tmp_path / "docs.policy").write_text(text, "utf-8")
    done = action(str(tmp_path), FORMAT="false")
    assert done.returncode == 1
    assert f"::error file={tmp_path}/docs.policy,line={line}," in done.stdout
    assert re.findall(r"::group::policyd (\w+)", done.stdout) == ["check"]


def test_a_failed_test_fails_it(tmp_path: Path) -> None:
    folder = tmp_path / "my policies"
    folder.mkdir()
    (folder / "docs.policy").write_text(MAIN, "utf-8")
    failing = TESTS.replace("allow list on folder", "deny list on folder")
    (folder / "docs_test.policy").write_text(failing, "utf-8")
    done = action(f"\n{folder}\n")
    assert done.returncode == 1
    assert "title=P4010" in done.stdout


def test_the_action_reads_its_inputs_from_the_environment() -> None:
    text = (ROOT / "action.yml").read_text(encoding="utf-8")
    steps = text.partition("\nruns:")[2]
    assert set(re.findall(r"\$\{\{ (\S+) \}\}", steps)) == {
        *(f"inputs.{name}" for name in ("paths", "format", "fail-under", "python-version")),
        *(f"github.event.pull_request.{name}" for name in ("base.sha", "number")),
        "inputs.token",
    }
    for script in re.findall(r"run: \|\n((?:        .*\n)+)", steps):
        assert "${{" not in script


def test_a_comment_says_what_a_change_does(tmp_path: Path) -> None:
    """On a real repository, with a program in place of GitHub's that keeps what it was given."""

    def git(*words: str) -> str:
        identity = ("-c", "user.name=a", "-c", "user.email=a@example.com")
        done = subprocess.run(
            ["git", *identity, *words], cwd=origin, check=True, capture_output=True, text=True
        )
        return done.stdout.strip()

    origin, kept = tmp_path / "origin", tmp_path / "kept"
    (origin / "policies").mkdir(parents=True)
    git("init", "-q")
    policy = origin / "policies" / "docs.policy"
    policy.write_text(MAIN, "utf-8")
    git("add", ".")
    git("commit", "-qm", "one")
    base = git("rev-parse", "HEAD")
    git("config", "uploadpack.allowAnySHA1InWant", "true")
    policy.write_text(f"{MAIN}\nallow more: list on folder\n    when scope read:docs\n", "utf-8")
    git("commit", "-qam", "two")
    checkout = tmp_path / "checkout"
    git("clone", "-q", "--depth", "1", f"file://{origin}", str(checkout))
    programs = tmp_path / "bin"
    programs.mkdir()
    (programs / "gh").write_text(f'#!/bin/sh\necho "$*" > {kept}\nwhile [ $# -gt 1 ]; do shift; '
                                 f'done\ncat "$1" >> {kept}\n')  # fmt: skip
    (programs / "gh").chmod(0o755)

    path = os.pathsep.join([str(programs), str(Path(sys.executable).parent), os.environ["PATH"]])
    environment = {"PATH": path, "INPUT_PATHS": "\npolicies\n", "BASE": base, "NUMBER": "7"}
    command = ["bash", str(ROOT / "scripts" / "comment.sh")]

    def commented() -> str:
        done = subprocess.run(
            command, cwd=checkout, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return kept.read_text("utf-8")

    told = commented()
    assert told.startswith("pr comment 7 --edit-last --create-if-none --body-file ")
    assert "### Policies: " in told
    assert "rule `more` is new" in told
    (checkout / "policies" / "docs.policy").write_text("api", "utf-8")
    assert "### Policies: not compared" in commented()


def test_each_hook_runs_a_verb_that_there_is() -> None:
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    verbs = re.findall(r"entry: policyd (\w+)", hooks)
    assert verbs == ["fmt", "check", "lint", "test"]
    assert set(verbs) <= set(VERBS)
