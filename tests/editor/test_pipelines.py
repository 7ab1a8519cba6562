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
        f"inputs.{name}" for name in ("paths", "format", "fail-under", "python-version")
    }
    for script in re.findall(r"run: \|\n((?:        .*\n)+)", steps):
        assert "${{" not in script


def test_each_hook_runs_a_verb_that_there_is() -> None:
    hooks = (ROOT / ".pre-commit-hooks.yaml").read_text(encoding="utf-8")
    verbs = re.findall(r"entry: policyd (\w+)", hooks)
    assert verbs == ["fmt", "check", "lint", "test"]
    assert set(verbs) <= set(VERBS)
