"""What a policy directory holds, and when that changes."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest

from policyd.sources import DirectoryWatcher, PoliciesUnreadable, PolicyFiles, read_directory


def write(root: Path, *names: str) -> None:
    for name in names:
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f"// {name}\n")


def names(root: Path) -> list[str]:
    return [source.name for source in read_directory(root).sources]


def test_reads_policies_and_nothing_else(tmp_path: Path) -> None:
    write(
        tmp_path,
        "b.policy",
        "a/deep/c.policy",
        "a_test.policy",
        "README.md",
        ".hidden.policy",
        ".git/d.policy",
        "..data/e.policy",
        "policy",
    )
    assert names(tmp_path) == ["a/deep/c.policy", "b.policy"]


def test_links_are_followed_but_not_in_circles(tmp_path: Path) -> None:
    write(tmp_path / "else", "linked.policy", "folder/inner.policy")
    root = tmp_path / "root"
    write(root, "own.policy")
    (root / "linked.policy").symlink_to(tmp_path / "else" / "linked.policy")
    (root / "folder").symlink_to(tmp_path / "else" / "folder")
    (root / "up").symlink_to(root)
    (root / "dangling.policy").symlink_to(root / "nothing")
    assert names(root) == ["folder/inner.policy", "linked.policy", "own.policy"]


def test_the_digest_stands_for_names_and_bytes(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    first = read_directory(tmp_path).digest
    os.utime(tmp_path / "a.policy", (1, 1))
    assert read_directory(tmp_path).digest == first
    (tmp_path / "a.policy").rename(tmp_path / "b.policy")
    renamed = read_directory(tmp_path).digest
    (tmp_path / "b.policy").write_text("// other\n")
    changed = read_directory(tmp_path).digest
    assert len({first, renamed, changed}) == 3


def test_a_name_and_its_bytes_cannot_be_taken_for_another_pair(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes(b"x")
    (tmp_path / "b.policy").write_bytes(b"")
    first = read_directory(tmp_path).digest
    (tmp_path / "a.policy").write_bytes(b"")
    (tmp_path / "b.policy").write_bytes(b"x")
    assert read_directory(tmp_path).digest != first


def test_bytes_that_are_no_text_are_found(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes(b"api \xff")
    (found,) = read_directory(tmp_path).diagnostics
    assert (found.code, found.primary is not None) == ("P0001", True)


def test_an_unchanged_file_is_the_same_source(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "b.policy")
    first = read_directory(tmp_path)
    (tmp_path / "b.policy").write_text("// other\n")
    second = read_directory(tmp_path, earlier=first)
    assert second == read_directory(tmp_path)
    assert second.sources[0] is first.sources[0]
    assert second.sources[1] is not first.sources[1]


def test_bytes_that_are_no_text_are_not_taken_for_those_they_are_shown_as(tmp_path: Path) -> None:
    (tmp_path / "a.policy").write_bytes(b"// \xff\n")
    broken = read_directory(tmp_path)
    (tmp_path / "a.policy").write_bytes("// \N{REPLACEMENT CHARACTER}\n".encode())
    assert broken.diagnostics
    assert not read_directory(tmp_path, earlier=broken).diagnostics


def test_what_is_no_directory_cannot_be_read(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    for path, why in ((tmp_path / "x", "No such file"), (tmp_path / "a.policy", "no directory")):
        with pytest.raises(PoliciesUnreadable, match=why):
            read_directory(path)


def test_waits_until_the_files_stand_still(tmp_path: Path) -> None:
    """What is read is one state: while a writer is at work, it looks again."""
    write(tmp_path, "a.policy")
    pauses: list[float] = []

    def read(path: Path) -> bytes:
        data = path.read_bytes()
        if len(pauses) < 2:
            path.write_text(f"// written after reading {'!' * len(pauses)}\n")
        return data

    files = read_directory(tmp_path, pauses.append, read)
    assert len(pauses) == 2
    assert files.sources[0].text == "// written after reading !\n"


def test_a_file_that_goes_away_in_between_is_not_there(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "b.policy")

    def read(path: Path) -> bytes:
        (tmp_path / "b.policy").unlink(missing_ok=True)
        return path.read_bytes()

    files = read_directory(tmp_path, lambda _: None, read)
    assert [source.name for source in files.sources] == ["a.policy"]


def test_gives_up_when_they_never_stand_still(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")

    def read(path: Path) -> bytes:
        data = path.read_bytes()
        path.write_bytes(data + b"!")
        return data

    with pytest.raises(PoliciesUnreadable, match="keeps changing"):
        read_directory(tmp_path, lambda _: None, read)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")

    def read(path: Path) -> bytes:
        raise PermissionError(13, "Permission denied", str(path))

    with pytest.raises(PoliciesUnreadable, match=r"a\.policy: Permission denied"):
        read_directory(tmp_path, lambda _: None, read)


class Changes:
    """Collects what a watcher tells."""

    def __init__(self) -> None:
        self.states: list[PolicyFiles | PoliciesUnreadable] = []
        self.news = threading.Event()

    def __call__(self, state: PolicyFiles | PoliciesUnreadable) -> None:
        self.states.append(state)
        self.news.set()


def watcher(root: Path) -> tuple[DirectoryWatcher, Changes]:
    changes = Changes()
    return DirectoryWatcher(root, read_directory(root), changes), changes


def test_tells_of_each_new_state_once(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    watching, changes = watcher(tmp_path)
    watching.look()
    assert changes.states == []
    write(tmp_path, "b.policy")
    watching.look()
    watching.look()
    (state,) = changes.states
    assert isinstance(state, PolicyFiles)
    assert [source.name for source in state.sources] == ["a.policy", "b.policy"]
    os.utime(tmp_path / "b.policy", (1, 1))
    watching.look()
    assert len(changes.states) == 1


def test_tells_once_that_there_is_nothing_to_read(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "a.policy")
    watching, changes = watcher(root)
    root.rename(tmp_path / "aside")
    watching.look()
    watching.look()
    (tmp_path / "aside").rename(root)
    watching.look()
    kinds = [type(state) for state in changes.states]
    assert kinds == [PoliciesUnreadable, PolicyFiles]


def test_a_change_back_is_a_change(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    watching, changes = watcher(tmp_path)
    (tmp_path / "a.policy").write_text("// other\n")
    watching.look()
    write(tmp_path, "a.policy")
    watching.look()
    assert len(changes.states) == 2


def test_hears_of_a_change_by_itself(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    watching, changes = watcher(tmp_path)
    watching.start()
    try:
        write(tmp_path, "b.policy")
        assert changes.news.wait(30)
    finally:
        watching.stop()


def test_waits_for_a_directory_that_is_away(tmp_path: Path) -> None:
    root = tmp_path / "root"
    write(root, "a.policy")
    watching, changes = watcher(root)
    root.rename(tmp_path / "aside")
    watching.start()
    try:
        assert changes.news.wait(30)
        changes.news.clear()
        (tmp_path / "aside").rename(root)
        assert changes.news.wait(30)
    finally:
        watching.stop()
    assert isinstance(changes.states[0], PoliciesUnreadable)
    assert isinstance(changes.states[1], PolicyFiles)


def test_a_defect_does_not_end_the_watch(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    write(tmp_path, "a.policy")
    changes = Changes()
    calls: list[object] = []

    def fail_once(state: PolicyFiles | PoliciesUnreadable) -> None:
        calls.append(state)
        if len(calls) == 1:
            raise ZeroDivisionError
        changes(state)

    watching = DirectoryWatcher(tmp_path, read_directory(tmp_path), fail_once)
    watching.start()
    try:
        write(tmp_path, "b.policy")
        while not calls:
            changes.news.wait(0.05)
        write(tmp_path, "c.policy")
        assert changes.news.wait(30)
    finally:
        watching.stop()
    assert "watching the policies failed" in caplog.text
