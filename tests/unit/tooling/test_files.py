from __future__ import annotations

import os
from pathlib import Path
from typing import NoReturn

import pytest

from policyd.diagnostics import Severity, has_errors
from policyd.diagnostics.render import render
from policyd.tooling.files import FilesUnusable, Wanted, find_files
from policyd.tooling.policies import load_policies
from tests.support.tooling import POLICY, in_a_test, write


def _names(*paths: Path, wanted: Wanted = Wanted.ALL) -> list[str]:
    return [file.path.name for file in find_files(paths, wanted).files]


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
    files = find_files([odd], Wanted.POLICIES).files
    assert [file.source.text for file in files] == ["api health"]
    assert files[0].source.name == str(odd)


def test_links_are_followed_once(tmp_path: Path) -> None:
    write(tmp_path, a="")
    (tmp_path / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "again.policy").symlink_to(tmp_path / "a.policy")
    assert _names(tmp_path) == ["a.policy"]
    assert _names(tmp_path / "again.policy", tmp_path) == ["again.policy"]


@pytest.mark.parametrize("wanted", list(Wanted))
def test_nothing_to_read_is_an_error(tmp_path: Path, wanted: Wanted) -> None:
    with pytest.raises(FilesUnusable, match="there are no"):
        find_files([tmp_path], wanted)
    with pytest.raises(FilesUnusable, match="no such file"):
        find_files([tmp_path / "missing"], wanted)


def test_test_file_is_no_policy(tmp_path: Path) -> None:
    write(tmp_path, a_test="")
    with pytest.raises(FilesUnusable, match="there are no policy files"):
        find_files([tmp_path / "a_test.policy"], Wanted.POLICIES)


def test_unreadable_file(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes(b"api health\n// \xff\n")
    assert [found.code for found in find_files([tmp_path], Wanted.ALL).files[0].diagnostics] == [
        "P0001"
    ]
    loaded = load_policies([tmp_path], Wanted.POLICIES)
    assert loaded.policies is None
    assert has_errors(loaded.diagnostics)


def test_what_the_system_refuses_to_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> NoReturn:
        raise PermissionError(13, "not allowed")

    path = write(tmp_path, a="") / "a.policy"
    with monkeypatch.context() as patched:
        patched.setattr(os, "open", refuse)
        for one in (path, tmp_path):
            (found,) = find_files([one], Wanted.ALL).diagnostics
            assert (found.code, found.notes) == ("P0027", ("not allowed",))
    monkeypatch.setattr(os, "scandir", refuse)
    with pytest.raises(FilesUnusable, match="not allowed"):
        find_files([tmp_path], Wanted.ALL)


def test_an_entry_that_is_no_file_is_an_error_of_each_command(tmp_path: Path) -> None:
    write(tmp_path, a=POLICY)
    os.mkfifo(tmp_path / "pipe.policy")
    (tmp_path / "gone.policy").symlink_to("nowhere")
    for wanted in Wanted:
        loaded = load_policies([tmp_path], wanted)
        assert loaded.policies is None
        assert [found.code for found in loaded.diagnostics] == ["P0027", "P0027"]


def test_a_link_leads_out_of_a_directory_only_where_it_may(tmp_path: Path) -> None:
    write(tmp_path, secret="s3cret = 1\n")
    (tmp_path / "root").mkdir()
    (tmp_path / "root" / "a.policy").symlink_to("../secret.policy")
    found = find_files([tmp_path / "root"], Wanted.ALL)
    assert found.files == ()
    assert "s3cret" not in render(found.diagnostics)
    assert len(find_files([tmp_path / "root"], Wanted.ALL, follow_outside=True).files) == 1


def test_a_named_link_leads_no_further_than_what_is_at_hand(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write(tmp_path, secret="")
    root = tmp_path / "root"
    root.mkdir()
    (root / "a.policy").symlink_to("../secret.policy")
    (root / "env.policy").symlink_to("/proc/self/environ")
    (root / "zero.policy").symlink_to("/dev/zero")
    for name in ("a.policy", "env.policy", "zero.policy"):
        with pytest.raises(FilesUnusable, match="leads outside"):
            find_files([root / name], Wanted.ALL)
    monkeypatch.chdir(tmp_path)
    assert _names(Path("root/a.policy")) == ["a.policy"]
    with pytest.raises(FilesUnusable, match="leads outside"):
        find_files([Path("root/env.policy")], Wanted.ALL)


def test_a_named_pipe_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.policy")
    (found,) = find_files([tmp_path / "pipe.policy"], Wanted.ALL).diagnostics
    assert found.notes == ("it is a pipe and no file",)
    for name in ("gone", "self"):
        (tmp_path / name).symlink_to(name if name == "self" else "nowhere")
        with pytest.raises(FilesUnusable, match=name):
            find_files([tmp_path / name], Wanted.ALL)


def test_misnamed_files_are_told_of(tmp_path: Path) -> None:
    (tmp_path / "deny.POLICY").write_text("")
    with pytest.raises(FilesUnusable, match=r"is `\S*deny.POLICY` to be `deny.policy`\?"):
        find_files([tmp_path], Wanted.POLICIES)
    write(tmp_path, a=POLICY, stress_test="api health\n\ndeny closed: any on patient\n")
    found = load_policies([tmp_path], Wanted.POLICIES)
    assert [one.code for one in found.diagnostics] == ["P0028", "P0018"]
    assert found.policies is not None
    assert found.summary == "1 file"
    both = load_policies([tmp_path], Wanted.ALL).diagnostics
    assert [(one.code, one.severity) for one in both] == [
        ("P0028", Severity.WARNING),
        ("P0018", Severity.ERROR),
    ]


def test_policies_are_loaded_with_their_tests(tmp_path: Path) -> None:
    write(tmp_path, health=POLICY, health_test=in_a_test("token {}", "deny read on patient"))
    loaded = load_policies([tmp_path], Wanted.ALL)
    assert loaded.summary == "2 files"
    assert loaded.policies is not None
    assert [test.title for test in loaded.tests] == ["an example"]
    assert {found.code for found in loaded.diagnostics} == {"P4007"}
    assert load_policies([tmp_path], Wanted.POLICIES).tests == ()
