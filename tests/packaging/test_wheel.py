"""The wheel that is built from this tree, installed where nothing else is."""

from __future__ import annotations

import os
import subprocess
import sys
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path

import pytest

import policyd

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
    done = run(command, folder)
    assert done.returncode == 0, f"{command}\n{done.stdout}{done.stderr}"
    return done.stdout


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation"]
    succeed([*build, "--outdir", folder, ROOT], folder)
    (path,) = folder.glob("*.whl")
    return path


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the commands' folder of an environment with the wheel and the lock's packages."""
    folder = tmp_path_factory.mktemp("environment")
    venv.create(folder, with_pip=True)
    commands = folder / "bin"
    python = commands / "python"
    pip = ["-m", "pip", "--quiet", "--disable-pip-version-check", "install"]
    succeed([python, *pip, "--require-hashes", "-r", ROOT / "requirements.lock"], folder)
    succeed([python, *pip, "--no-deps", "--no-index", wheel], folder)
    return commands


def test_holds_the_grammar_the_generated_code_and_the_type_marker(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
    assert "policyd/language/grammar.lark" in names
    assert "policyd/v1/authorization_pb2.py" in names
    assert "policyd/py.typed" in names


def test_holds_each_module_of_the_tree_and_nothing_beside_the_package(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    modules = {str(path.relative_to(ROOT)) for path in (ROOT / "policyd").rglob("*.py")}
    assert modules <= names
    assert {name.partition("/")[0] for name in names} == {"policyd"}


@pytest.mark.slow
def test_the_lock_covers_what_the_wheel_requires(installed: Path) -> None:
    succeed([installed / "python", "-m", "pip", "check"], installed)


@pytest.mark.slow
def test_says_its_version(installed: Path) -> None:
    printed = succeed([installed / "policyd", "version"], installed)
    assert policyd.__version__ in printed


@pytest.mark.slow
def test_checks_the_sample_policies(installed: Path) -> None:
    succeed([installed / "policyd", "check", ROOT / "policies"], installed)


@pytest.mark.slow
def test_finds_a_mistake_in_a_policy(installed: Path, tmp_path: Path) -> None:
    (tmp_path / "broken.policy").write_text("api health\n\nallow reads: read on\n")
    done = run([installed / "policyd", "check", "broken.policy"], tmp_path)
    assert done.returncode == 1
    assert "broken.policy" in done.stdout + done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("module", ["policyd.server.wire.convert", "policyd.client"])
def test_imports_without_the_development_tools(installed: Path, module: str) -> None:
    succeed([installed / "python", "-c", f"import {module}"], installed)
