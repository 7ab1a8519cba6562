"""The wheel that is built from this tree, installed where nothing else is."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

import policyd
from tests.docs import test_readme as readme
from tests.docs import test_tutorial as tutorial
from tests.packaging.environments import ROOT, build_wheel, create, install, run, succeed
from tests.support.commands import environment as environment_of
from tests.support.documents import fences
from tests.support.ports import free_port
from tests.support.word_by_word import reading


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build_wheel(ROOT, tmp_path_factory.mktemp("wheel"))


@pytest.fixture(scope="module")
def installed(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the commands' folder of an environment with the wheel and the lock's packages."""
    commands = create(tmp_path_factory.mktemp("environment"))
    install(commands, "--require-hashes", "-r", ROOT / "requirements.lock")
    install(commands, "--no-deps", "--no-index", wheel)
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
    tree = ROOT / "policyd"
    modules = {str(path.relative_to(ROOT)) for path in tree.rglob("*.py")}
    # A folder that is a link, which `rglob` passes over.
    client = [path for path in (tree / "client").rglob("*") if path.is_file()]
    modules |= {str(path.relative_to(ROOT)) for path in client}
    assert {name for name in modules if "__pycache__" not in name} <= names
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


@pytest.mark.slow
def test_readme_and_tutorial_word_by_word(installed: Path, tmp_path: Path) -> None:
    """From nothing but Python and what was installed to an allowed and a denied call."""
    before = readme.clone()
    for name, page in (("readme", readme.followed()), ("tutorial", fences(tutorial.PAGE))):
        port, folder = str(free_port()), tmp_path / name
        folder.mkdir()
        # The tutorial prints its port, in configuration and commands; README has the default one.
        environment = readme.reader_environment(port, installed)
        if name == "tutorial":
            environment = environment_of(installed)
        with reading(folder, environment) as reader:
            reader.follow(page, port)
    assert readme.clone() == before
