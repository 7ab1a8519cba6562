"""Environments with nothing of this tree in them but what a test installs."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
from collections.abc import Sequence
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def run(command: Sequence[str | Path], folder: Path) -> subprocess.CompletedProcess[str]:
    """Run a command in `folder`, where no import can find this tree."""
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    return subprocess.run(
        command,
        cwd=folder,
        env=environment,
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        check=False,
    )


def succeed(command: Sequence[str | Path], folder: Path) -> str:
    """Run a command that must end with 0, and return what it printed."""
    done = run(command, folder)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


def build_wheel(project: Path, folder: Path) -> Path:
    """Build the wheel of the project in a folder of this tree."""
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    succeed([*build, "--outdir", folder, project], folder)
    (path,) = folder.glob("*.whl")
    return path


def create(folder: Path) -> Path:
    """Make an environment and return its commands' folder."""
    venv.create(folder, with_pip=True)
    return folder / "bin"


def install(commands: Path, *what: str | Path) -> None:
    """Install with the environment's own pip."""
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    succeed([commands / "python", *pip, *what], commands)
