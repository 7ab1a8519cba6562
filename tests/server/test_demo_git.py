"""`make demo-git` tells what happens, and what it tells happens."""

from __future__ import annotations

import subprocess
import sys

from tests.support.documents import ROOT


def test_the_demo_of_git_goes_as_told() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "scripts.demo_git"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "denied by closed" in done.stdout
    assert "is refused: it is not signed" in done.stdout
    assert done.stdout.endswith("All as told. docs/git.md says how to set this up.\n")
