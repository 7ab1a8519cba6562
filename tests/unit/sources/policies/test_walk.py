"""What a walk finds below a directory, and what it refuses."""

from __future__ import annotations

import os
import socket
from pathlib import Path
from types import SimpleNamespace

import pytest

from policyd.sources.policies import PoliciesUnreadable
from policyd.sources.policies import walk as module
from policyd.sources.policies.walk import Walk, walk
from tests.support.policy_files import write


def names(found: Walk) -> list[str]:
    return [entry.name for entry in found.files]


def problems(found: Walk) -> dict[str, str]:
    return {problem.name: problem.why for problem in found.problems}


def test_finds_what_is_named_like_a_policy(tmp_path: Path) -> None:
    write(
        tmp_path,
        *("b.policy", "a/deep/c.policy", "a_test.policy", "README.md", ".hidden/x.policy"),
        *(".git/d.policy", "..data/e.policy", "policy"),
    )
    assert names(walk(tmp_path)) == ["a/deep/c.policy", "a_test.policy", "b.policy"]
    assert names(walk(tmp_path, prefix="p/")) == [
        *("p/a/deep/c.policy", "p/a_test.policy", "p/b.policy")
    ]


def test_the_root_may_be_a_link(tmp_path: Path) -> None:
    """As git-sync has it: `current` leads to the revision in force, beside it."""
    write(tmp_path / "rev-1", "a.policy")
    (tmp_path / "current").symlink_to("rev-1")
    assert names(walk(tmp_path / "current")) == ["a.policy"]
    assert walk(tmp_path / "current").base == str(tmp_path / "rev-1")


def test_the_layout_of_a_kubernetes_volume(tmp_path: Path) -> None:
    write(tmp_path / "..2026_11_30", "a.policy", "sub/b.policy")
    (tmp_path / "..data").symlink_to("..2026_11_30")
    (tmp_path / "a.policy").symlink_to("..data/a.policy")
    (tmp_path / "sub").symlink_to("..data/sub")
    found = walk(tmp_path)
    assert names(found) == ["a.policy", "sub/b.policy"]
    assert [entry.lies for entry in found.files] == [
        *("..2026_11_30/a.policy", "..2026_11_30/sub/b.policy")
    ]
    assert found.problems == ()


def test_a_file_is_found_once_under_its_own_name_or_the_first(tmp_path: Path) -> None:
    write(tmp_path, "z.policy", "real/b.policy", ".store/c.policy")
    (tmp_path / "a.policy").symlink_to("z.policy")
    (tmp_path / "also").symlink_to("real")
    (tmp_path / "n.policy").symlink_to(".store/c.policy")
    (tmp_path / "m.policy").symlink_to(".store/c.policy")
    (tmp_path / "store").symlink_to(".store")
    assert names(walk(tmp_path)) == ["m.policy", "real/b.policy", "z.policy"]


def test_links_in_circles_are_entered_once(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "sub/b.policy")
    (tmp_path / "sub" / "up").symlink_to("..")
    (tmp_path / "sub" / "self").symlink_to(".")
    assert names(walk(tmp_path)) == ["a.policy", "sub/b.policy"]


def test_pairs_of_links_make_no_more_work_than_there_are_entries(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twenty-four directories, each with two links to the next: 2^23 paths."""
    write(tmp_path, "a.policy")
    for number in range(24):
        (tmp_path / f"d{number}").mkdir()
    for number in range(23):
        for name in "ab":
            (tmp_path / f"d{number}" / name).symlink_to(f"../d{number + 1}")
    scanned: list[str] = []
    scandir = os.scandir

    def counting(path: str) -> object:
        scanned.append(path)
        return scandir(path)

    monkeypatch.setattr(os, "scandir", counting)
    assert names(walk(tmp_path)) == ["a.policy"]
    assert len(scanned) == 25


def test_each_entry_that_is_no_file_is_named_with_the_reason(tmp_path: Path) -> None:
    (tmp_path / "dangling.policy").symlink_to("../shared/deny.policy")
    (tmp_path / "folder").symlink_to("gone")
    (tmp_path / "self.policy").symlink_to("self.policy")
    (tmp_path / "through.policy").symlink_to("file/x.policy")
    (tmp_path / "file").write_text("")
    os.mkfifo(tmp_path / "pipe.policy")
    (tmp_path / "null.policy").symlink_to("/dev/null")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(tmp_path / "s.policy"))
        found = problems(walk(tmp_path, follow_outside=True))
    assert found == {
        "dangling.policy": "the link to `../shared/deny.policy` leads nowhere",
        "folder": "the link to `gone` leads nowhere",
        "self.policy": "the link to `self.policy` cannot be followed: "
        "Too many levels of symbolic links",
        "through.policy": "the link to `file/x.policy` cannot be followed: Not a directory",
        "pipe.policy": "it is a pipe and no file",
        "null.policy": "it is a device and no file",
        "s.policy": "it is a socket and no file",
    }


def test_what_has_another_name_is_let_be(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "notes.txt").symlink_to("gone")
    (tmp_path / ".#a.policy").symlink_to("me@host.123:456")  # Emacs' lock
    (tmp_path / "python3").symlink_to("/bin/sh")
    found = walk(tmp_path)
    assert (names(found), found.problems, found.misnamed) == (["a.policy"], (), ())


def test_a_chain_of_very_many_links_is_a_problem_and_no_defect(tmp_path: Path) -> None:
    write(tmp_path, "0.policy")
    for number in range(1, 1200):
        (tmp_path / f"{number}.policy").symlink_to(f"{number - 1}.policy")
    found = walk(tmp_path)
    assert names(found) == ["0.policy"]
    assert "Too many levels" in problems(found)["1199.policy"]


@pytest.mark.parametrize("target", ["secret.policy", "folder"])
def test_links_that_leave_are_refused_unless_they_may(tmp_path: Path, target: str) -> None:
    write(tmp_path / "else", "secret.policy", "folder/x.policy")
    root = tmp_path / "root"
    write(root, "own.policy")
    (root / "link.policy").symlink_to(f"../else/{target}")
    found = walk(root)
    assert names(found) == ["own.policy"]
    assert problems(found) == {
        "link.policy": f"the link leads outside of the directory, to `../else/{target}`; "
        "to follow it, set `follow_outside = true` in `[policies]`, or give --follow-outside"
    }
    followed = walk(root, follow_outside=True)
    assert len(names(followed)) == 2
    assert followed.problems == ()


def test_a_sibling_whose_name_begins_alike_is_outside(tmp_path: Path) -> None:
    write(tmp_path / "root-2", "secret.policy")
    root = tmp_path / "root"
    root.mkdir()
    (root / "link.policy").symlink_to("../root-2/secret.policy")
    assert "leads outside" in problems(walk(root))["link.policy"]


def test_a_link_out_and_in_again_is_inside(tmp_path: Path) -> None:
    write(tmp_path / "root", "a.policy")
    (tmp_path / "root" / "b").symlink_to("../root")
    assert walk(tmp_path / "root").problems == ()


def test_names_that_nobody_could_read_are_problems(tmp_path: Path) -> None:
    for name in (b"\xff.policy", "a\u202eb.policy".encode(), b"a\nb.policy"):
        (tmp_path / os.fsdecode(name)).write_text("")
    found = walk(tmp_path)
    assert found.files == ()
    assert sorted(problems(found)) == ["\\udcff.policy", "a\\nb.policy", "a\\u202eb.policy"]


def test_misnamed_files_are_told_of_wherever_they_are(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "sub/deny.POLICY", "sub/.deny.policy")
    (tmp_path / "link.polciy").symlink_to("a.policy")
    (tmp_path / "folder.POLICY").mkdir()
    assert [(one.name, one.meant) for one in walk(tmp_path).misnamed] == [
        ("link.polciy", "link.policy"),
        ("sub/.deny.policy", "deny.policy"),
        ("sub/deny.POLICY", "deny.policy"),
    ]


@pytest.mark.parametrize(
    ("limit", "most", "why"),
    [
        ("ENTRIES", 4, "more than 4 entries"),
        ("FILES", 2, "more than 2 policy files"),
        ("DEPTH", 1, "more than 1 levels"),
    ],
)
def test_a_walk_is_bounded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, limit: str, most: int, why: str
) -> None:
    write(tmp_path, "a.policy", "sub/b.policy", "sub/notes.txt")
    monkeypatch.setattr(module, limit, most)
    assert len(names(walk(tmp_path))) == 2
    write(tmp_path, "sub/more/c.policy")
    with pytest.raises(PoliciesUnreadable, match=why):
        walk(tmp_path)


def test_what_is_no_directory_cannot_be_walked(tmp_path: Path) -> None:
    write(tmp_path, "a.policy")
    (tmp_path / "circle").symlink_to("circle")
    for path, why in (("x", "No such file"), ("a.policy", "no directory"), ("circle", "Too many")):
        with pytest.raises(PoliciesUnreadable, match=why):
            walk(tmp_path / path)


def test_walks_are_equal_until_something_changes(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", "sub/b.policy", ".a.policy.Xy12")
    before = walk(tmp_path)
    assert before == walk(tmp_path)
    (tmp_path / ".a.policy.Xy12").write_text("a writer is at work")
    during = walk(tmp_path)
    assert during != before
    assert during.files == before.files
    (tmp_path / "sub" / "new").touch()
    assert walk(tmp_path) != during


def test_two_names_of_one_file_are_two_files_unless_a_link_leads_there(tmp_path: Path) -> None:
    write(tmp_path, "a.policy", ".store/c.policy")
    (tmp_path / "b.policy").hardlink_to(tmp_path / "a.policy")
    (tmp_path / ".store" / "d.policy").hardlink_to(tmp_path / ".store" / "c.policy")
    (tmp_path / "store").symlink_to(".store")
    assert names(walk(tmp_path)) == ["a.policy", "b.policy", "store/c.policy"]


@pytest.mark.parametrize("linked", [False, True])
def test_a_directory_that_cannot_be_read_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, linked: bool
) -> None:
    locked = tmp_path / ("." * linked + "locked")
    write(tmp_path, "a.policy", f"open/{locked.name}/b.policy")
    if linked:
        (tmp_path / "open" / "locked").symlink_to(locked.name)
    scandir = os.scandir

    def denied(path: str) -> object:
        if path.endswith("locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", denied)
    found = walk(tmp_path, prefix="p/")
    assert names(found) == ["p/a.policy"]
    assert problems(found) == {"p/open/locked": "the directory cannot be read: Permission denied"}


def test_a_file_that_cannot_be_looked_at_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    class Unseen:
        name = "a.policy"
        path = str(tmp_path / name)

        def is_symlink(self) -> bool:
            return False

        def is_dir(self, *, follow_symlinks: bool) -> bool:
            return False

        def stat(self, *, follow_symlinks: bool) -> object:
            raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(module._Walker, "_scan", lambda *_: [Unseen()])
    assert problems(walk(tmp_path)) == {"a.policy": "it cannot be looked at: Permission denied"}


def test_what_is_hidden_is_passed_over_as_it_stands(tmp_path: Path) -> None:
    """A hidden link is not followed, only noticed."""
    (tmp_path / ".dir.policy").mkdir()
    (tmp_path / ".to_dir.policy").symlink_to(".dir.policy")
    (tmp_path / ".dangling.policy").symlink_to("nowhere")
    found = walk(tmp_path)
    assert [one.name for one in found.misnamed] == [".dangling.policy", ".to_dir.policy"]
    assert {".dangling.policy", ".dir.policy"} <= {one.name for one in found.traces}


@pytest.mark.parametrize("field", ["st_dev", "st_ino", "st_size", "st_mtime_ns", "st_ctime_ns"])
def test_whatever_of_a_file_changed_is_noticed(tmp_path: Path, field: str) -> None:
    write(tmp_path, "a.policy")
    seen = (tmp_path / "a.policy").stat()
    stamps = {name: getattr(seen, name) for name in dir(seen) if name.startswith("st_")}
    walker = module._Walker(tmp_path, str(tmp_path), False)

    def entry(**changes: int) -> object:
        return walker._entry("a.policy", "a.policy", SimpleNamespace(**(stamps | changes)))  # type: ignore[arg-type]

    assert entry() == entry() != entry(**{field: stamps[field] + 1})


def test_a_name_with_a_filler_that_looks_like_a_space_is_refused(tmp_path: Path) -> None:
    """Hangul's filler counts as a letter, and prints nothing."""
    write(tmp_path, "a\u3164.policy")
    assert problems(walk(tmp_path)) == {
        "a\\u3164.policy": "its name contains a hidden character, or is not UTF-8"
    }
