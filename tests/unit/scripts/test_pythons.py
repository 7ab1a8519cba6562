"""Which Pythons the suite is run on, and what is said of those it is not run on."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from scripts import pythons
from scripts.pythons import Python, Result, candidates, choose, newest

NEWER = (sys.version_info.major, sys.version_info.minor + 1, 0)


def python(*version: int, path: str = "") -> Python:
    major, minor, micro = version
    return Python(path or f"/opt/{major}.{minor}.{micro}/bin/python3", (major, minor, micro))


def test_they_are_found_on_the_path_and_among_pyenvs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = ("bin/python3", "bin/python3.12", "bin/python3-config", "bin/python2.7")
    shims = ("pyenv/shims/python3.13", "pyenv/versions/3.13.0/bin/python3")
    for name in (*names, *shims):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).touch()
    monkeypatch.setenv("PATH", f"{tmp_path}/bin:{tmp_path}/none:{tmp_path}/pyenv/shims")
    monkeypatch.setenv("PYENV_ROOT", f"{tmp_path}/pyenv")
    found = [str(one.relative_to(tmp_path)) for one in candidates()]
    assert found == ["bin/python3", "bin/python3.12", "pyenv/versions/3.13.0/bin/python3"]


def test_the_newest_of_each_version_is_taken_and_the_others_are_said(
    capsys: pytest.CaptureFixture[str],
) -> None:
    known = [python(3, 13, 0), python(3, 11, 2), python(3, 12, 1), python(3, 11, 7)]
    assert [one.name for one in choose(known)] == ["3.11.7", "3.12.1", "3.13.0"]
    assert capsys.readouterr().out == (
        "left out /opt/3.11.2/bin/python3, 3.11.2: /opt/3.11.7/bin/python3 is 3.11.7\n"
    )


def test_one_that_is_too_old_is_nobodys_business(capsys: pytest.CaptureFixture[str]) -> None:
    assert choose([python(3, 10, 13)]) == []
    assert capsys.readouterr().out == ""


@pytest.mark.parametrize(
    ("unfit", "why"),
    [
        (Python("/p", (3, 13, 0), lacks=("ensurepip",)), "it lacks ensurepip"),
        (Python("/p", (3, 13, 0), implementation="PyPy"), "it is PyPy"),
        (Python("/p", (3, 13, 0), release="beta"), "it is no release yet"),
        (Python("/p", (3, 13, 0), virtual=True), "it is a virtual environment"),
        (Python("/p", (3, 13, 0), free_threaded=True), "it is built without the global lock"),
    ],
)
def test_what_cannot_be_used_is_said(
    unfit: Python, why: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert choose([unfit]) == []
    assert capsys.readouterr().out.startswith(f"left out /p, 3.13.0: {why}")


def test_what_does_not_start_is_said(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert list(pythons._known([tmp_path / "python3"])) == []
    assert "it does not start (FileNotFoundError)" in capsys.readouterr().out


def test_this_python_says_what_it_is() -> None:
    (known,) = pythons._known([Path(sys.executable)])
    assert known.version == sys.version_info[:3]


def test_the_newest_is_tried_only_beside_an_older_one(capsys: pytest.CaptureFixture[str]) -> None:
    here = python(*sys.version_info[:3])
    assert newest([here, python(*NEWER)]) == [python(*NEWER)]
    assert newest([here]) == []
    assert capsys.readouterr().out.startswith("no Python newer than")


def test_nothing_that_ran_is_no_success() -> None:
    assert Result(passed=3).sound
    assert not Result().sound
    assert not Result(passed=3, failed=("a",)).sound
    assert not Result(passed=3, problem="no").sound


def test_the_quick_part_names_what_is_there() -> None:
    assert [name for name in pythons.QUICK if not (pythons.ROOT / name).exists()] == []
