from __future__ import annotations

import json
import stat
from pathlib import Path

import pytest

from tests.support.cli import Run
from tests.support.tooling import POLICY, write

UGLY = 'api   health\naudience "a"\n'
NEAT = 'api health\n\naudience "a"\n'


def test_files_are_formatted_in_place(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, ugly=UGLY, neat=NEAT, health=POLICY)
    result = policyd("fmt", tmp_path)
    assert (result.code, result.out) == (0, "")
    assert result.err == f"formatted {tmp_path / 'ugly.policy'}\n3 files, 1 formatted\n"
    assert (tmp_path / "ugly.policy").read_text(encoding="utf-8") == NEAT
    assert policyd("fmt", tmp_path).err == "3 files, 0 formatted\n"
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "health.policy",
        "neat.policy",
        "ugly.policy",
    ]


def test_check_writes_nothing(policyd: Run, tmp_path: Path) -> None:
    path = write(tmp_path, ugly=UGLY) / "ugly.policy"
    result = policyd("fmt", "--check", tmp_path)
    assert result.code == 1
    assert result.err == f"would format {path}\n1 file, 1 to format\n"
    assert path.read_text(encoding="utf-8") == UGLY
    path.write_text(NEAT, encoding="utf-8")
    assert policyd("fmt", "--check", tmp_path).code == 0


def test_diff_shows_the_change(policyd: Run, tmp_path: Path) -> None:
    path = write(tmp_path, ugly=UGLY) / "ugly.policy"
    result = policyd("fmt", "--diff", tmp_path)
    assert result.code == 1
    assert result.out.splitlines() == [
        f"--- {path} (now)",
        f"+++ {path} (formatted)",
        "@@ -1,2 +1,3 @@",
        "-api   health",
        "+api health",
        "+",
        ' audience "a"',
    ]
    assert path.read_text(encoding="utf-8") == UGLY


def test_diff_of_a_file_without_a_last_line_break(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, ugly=UGLY.rstrip("\n"))
    assert policyd("fmt", "--diff", tmp_path).out.endswith(
        '-audience "a"\n+api health\n+\n+audience "a"\n'
    )


def test_standard_input(policyd: Run) -> None:
    result = policyd("fmt", "-", stdin=UGLY)
    assert (result.code, result.out, result.err) == (0, NEAT, "")
    assert policyd("fmt", "-", "--check", stdin=UGLY).code == 1
    assert policyd("fmt", "-", "--check", stdin=NEAT).code == 0
    test = 'api health\n\ntest "t" {\n    token {}\n}\n'
    assert policyd("fmt", "-", stdin=test).code == 1
    assert policyd("fmt", "-", "--stdin-name", "a_test.policy", stdin=test).out == test
    assert policyd("fmt", "-", "x.policy", stdin=NEAT).code == 2


def test_file_with_errors_is_left_alone(policyd: Run, tmp_path: Path) -> None:
    write(tmp_path, broken="api health\nallow\n", ugly=UGLY)
    (tmp_path / "bytes.policy").write_bytes(b"api \xff\n")
    result = policyd("fmt", tmp_path, "--format", "json")
    assert result.code == 1
    assert json.loads(result.out) == {
        "files": 3,
        "changed": [str(tmp_path / "ugly.policy")],
        "broken": [str(tmp_path / "broken.policy"), str(tmp_path / "bytes.policy")],
    }
    assert "P0026" in result.err
    assert "P0001" in result.err
    assert (tmp_path / "broken.policy").read_text(encoding="utf-8") == "api health\nallow\n"
    assert (tmp_path / "ugly.policy").read_text(encoding="utf-8") == NEAT


def test_mode_and_link_are_kept(policyd: Run, tmp_path: Path) -> None:
    target = write(tmp_path, ugly=UGLY) / "ugly.policy"
    target.chmod(0o640)
    link = tmp_path / "link"
    link.symlink_to(target)
    assert policyd("fmt", link).code == 0
    assert link.is_symlink()
    assert target.read_text(encoding="utf-8") == NEAT
    assert stat.S_IMODE(target.stat().st_mode) == 0o640


def test_failed_write_leaves_the_old_file(
    policyd: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path, ugly=UGLY) / "ugly.policy"

    def refuse(*_: object) -> None:
        raise PermissionError(13, "no")

    monkeypatch.setattr(Path, "replace", refuse)
    result = policyd("fmt", tmp_path)
    assert result.code == 2
    assert f"{path}: no" in result.err
    assert [entry.read_text(encoding="utf-8") for entry in tmp_path.iterdir()] == [UGLY]
