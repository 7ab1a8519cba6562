from __future__ import annotations

from pathlib import Path
from typing import NoReturn

import pytest

from policyd.diagnostics import has_errors
from policyd.tooling.files import FilesUnusable, Wanted, read_files
from policyd.tooling.policies import load_policies
from tests.support.tooling import POLICY, in_a_test, write


def _names(*paths: Path, wanted: Wanted = Wanted.ALL) -> list[str]:
    return [file.path.name for file in read_files(paths, wanted)]


def test_directories_are_read_in_order_without_what_is_hidden(tmp_path: Path) -> None:
    for name in ("b.policy", "a.policy", "c_test.policy", "notes.txt", ".hidden.policy", "policy"):
        (tmp_path / name).write_text("", encoding="utf-8")
    for name in ("inner", ".git"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "d.policy").write_text("", encoding="utf-8")
    assert _names(tmp_path) == ["a.policy", "b.policy", "c_test.policy", "d.policy"]
    assert _names(tmp_path, wanted=Wanted.POLICIES) == ["a.policy", "b.policy", "d.policy"]
    assert _names(tmp_path, wanted=Wanted.TESTS) == ["c_test.policy"]


def test_order_and_repetition_of_paths_do_not_matter(tmp_path: Path) -> None:
    write(tmp_path, a="", b="")
    one, two = tmp_path / "a.policy", tmp_path / "b.policy"
    assert _names(two, one, tmp_path, one) == ["a.policy", "b.policy"]


def test_named_file_is_read_whatever_it_is_called(tmp_path: Path) -> None:
    odd = tmp_path / ".odd.txt"
    odd.write_text("api health", encoding="utf-8")
    files = read_files([odd], Wanted.POLICIES)
    assert [file.source.text for file in files] == ["api health"]
    assert files[0].source.name == str(odd)


def test_links_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, a="")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "gone.policy").symlink_to(tmp_path / "nowhere")
    (tmp_path / "again.policy").symlink_to(tmp_path / "a.policy")
    assert len(read_files([tmp_path], Wanted.ALL)) == 1


@pytest.mark.parametrize("wanted", list(Wanted))
def test_nothing_to_read_is_an_error(tmp_path: Path, wanted: Wanted) -> None:
    with pytest.raises(FilesUnusable, match="there are no"):
        read_files([tmp_path], wanted)
    with pytest.raises(FilesUnusable, match="no such file"):
        read_files([tmp_path / "missing"], wanted)


def test_test_file_is_no_policy(tmp_path: Path) -> None:
    write(tmp_path, a_test="")
    with pytest.raises(FilesUnusable, match="there are no policy files"):
        read_files([tmp_path / "a_test.policy"], Wanted.POLICIES)


def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes(b"api health\n// \xff\n")
    assert [found.code for found in read_files([tmp_path], Wanted.ALL)[0].diagnostics] == ["P0001"]
    loaded = load_policies([tmp_path], Wanted.POLICIES)
    assert loaded.policies is None
    assert has_errors(loaded.diagnostics)


def test_what_the_system_refuses_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> NoReturn:
        raise PermissionError(13, "not allowed")

    path = write(tmp_path, a="") / "a.policy"
    for method in ("read_bytes", "iterdir"):
        monkeypatch.setattr(Path, method, refuse)
        with pytest.raises(FilesUnusable, match="not allowed"):
            read_files([path if method == "read_bytes" else tmp_path], Wanted.ALL)


def test_policies_are_loaded_with_their_tests(tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=in_a_test("token {}", "deny read on patient"))
    loaded = load_policies([tmp_path], Wanted.ALL)
    assert loaded.summary == "2 files"
    assert loaded.policies is not None
    assert [test.title for test in loaded.tests] == ["an example"]
    assert {found.code for found in loaded.diagnostics} == {"P4007"}
    assert load_policies([tmp_path], Wanted.POLICIES).tests == ()
