"""The state folder beside damage, other processes and a disk that refuses."""

from __future__ import annotations

import errno
import fcntl
import os
from pathlib import Path

import msgspec
import pytest

from policyd.sources.policies import Provenance, state
from policyd.sources.policies.journal import Entry
from policyd.sources.policies.state import KEPT, StateFolder, StateUnusable
from tests.support.disk import Disk
from tests.unit.sources.policies.test_state import COMMITTED, files

BUNDLE = Provenance("bundle", "place", "d" * 40, name="orders", sequence=42)


def named(state: StateFolder, name: str) -> str | None:
    found = state.find(name)
    return None if found is None else found.revision


def test_a_set_is_on_the_disk_before_what_names_it_and_so_is_each_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    disk = Disk(monkeypatch)
    folder = tmp_path / "lib" / "state"
    StateFolder(folder).remember(files(), "r")
    (path,) = (folder / "sets").iterdir()
    assert disk.taken() == [path.with_suffix(".new").name, "sets", "active.new", "state"]
    for file in (path, folder / "active.json"):
        assert file.stat().st_mode & 0o777 == 0o600
        assert disk.sizes[file.with_suffix(".new").name] == file.stat().st_size


@pytest.mark.parametrize("broken", ["active.new", "sets"])
def test_a_set_that_is_not_on_the_disk_is_not_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, broken: str
) -> None:
    disk = Disk(monkeypatch)
    kept = StateFolder(tmp_path / "state")
    kept.remember(files(), "r")
    disk.broken = {broken}
    with pytest.raises(StateUnusable, match="Input/output error"):
        kept.remember(files("// another\n"), "r2")
    last = kept.last()
    assert last is not None
    assert last.revision == "r"


def test_one_process_at_a_time_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another that wants the folder's lock meanwhile does not get it."""
    held: list[bool] = []

    def try_lock(*_: object) -> None:
        descriptor = os.open(tmp_path, os.O_RDONLY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held.append(False)
        except BlockingIOError:
            held.append(True)
        finally:
            os.close(descriptor)

    kept = StateFolder(tmp_path)
    monkeypatch.setattr(state, "append", try_lock)
    kept.record(Entry("now", "activated", COMMITTED))
    write = state._write

    def write_alone(path: Path, data: bytes) -> None:
        try_lock()
        write(path, data)

    monkeypatch.setattr(state, "_write", write_alone)
    kept.remember(files(), "r")
    assert held == [True, True, True]
    try_lock()
    assert held[-1] is False, "it is free afterwards"


# -- what was passed over -------------------------------------------------------------------------


def test_what_was_passed_over_holds_for_as_long_as_the_same_set_serves(tmp_path: Path) -> None:
    kept = StateFolder(tmp_path)

    def passed_over() -> str:
        active = kept.active()
        assert active is not None
        return active.passed_over

    kept.remember(files(), "r", passed_over="d" * 40)
    kept.remember(files(), "r")
    assert passed_over() == "d" * 40
    kept.remember(files(), "r", passed_over="e" * 40)
    assert passed_over() == "e" * 40
    kept.remember(files("// another\n"), "r2")
    assert passed_over() == ""
    kept.remember(files(), "r")
    assert passed_over() == "", "and not for the set before it"


def test_a_damaged_pointer_is_replaced_by_the_next_set(tmp_path: Path) -> None:
    kept = StateFolder(tmp_path)
    kept.remember(files(), "r", passed_over="d" * 40)
    (tmp_path / "active.json").write_bytes(b"{")
    kept.remember(files(), "r")
    active = kept.active()
    assert active is not None
    assert (active.revision, active.passed_over) == ("r", "")


# -- which sets are there -------------------------------------------------------------------------


def test_a_set_is_found_by_how_its_names_begin_the_newest_first(tmp_path: Path) -> None:
    now = [1.0]
    kept = StateFolder(tmp_path, lambda: now[0])
    for number, commit in enumerate(("abc", "abd", "acc")):
        now[0] = 10.0 - number  # the clock may have been put back
        kept.remember(files(f"// {number}\n", Provenance("git", "p", commit)), f"rev-{number}")
    now[0] = 1.0
    kept.remember(files("// b\n", BUNDLE), "bundled")
    assert named(kept, "ab") == "rev-0"
    assert named(kept, "acc") == "rev-2"
    assert named(kept, "rev-1") == "rev-1"
    assert named(kept, "rev") == "rev-0"
    assert named(kept, "orders@42") == "bundled"
    assert named(kept, "ddd") == "bundled"
    for name in ("orders", "orders@4", "bc", ""):
        assert named(kept, name) is None


def test_the_set_that_serves_is_kept_however_old_its_file_is(tmp_path: Path) -> None:
    kept = StateFolder(tmp_path)
    for number in range(KEPT):
        kept.remember(files(f"// {number}\n"), f"r{number}")
    sets = list((tmp_path / "sets").iterdir())
    assert len(sets) == KEPT
    for path in sets:  # as a clock that is put back makes it
        os.utime(path, (2e9, 2e9))
    kept.remember(files("// the last\n"), "last")
    last = kept.last()
    assert last is not None
    assert last.revision == "last"
    assert len(list(kept.kept())) == KEPT + 1


def test_the_oldest_sets_go(tmp_path: Path) -> None:
    kept = StateFolder(tmp_path)
    for number in range(KEPT + 2):
        kept.remember(files(f"// {number}\n"), f"r{number}")
        for age, path in enumerate((tmp_path / "sets").iterdir()):
            if path.stat().st_mtime > 1e9:
                os.utime(path, (number, number))
            assert age <= KEPT
    revisions = {one.revision for one in kept.kept()}
    assert revisions == {f"r{number}" for number in range(2, KEPT + 2)}


def test_other_files_beside_the_sets_are_left_alone(tmp_path: Path) -> None:
    kept = StateFolder(tmp_path)
    kept.remember(files(), "r")
    (tmp_path / "sets/README").write_text("words\n")
    assert [one.revision for one in kept.kept()] == ["r"]
    for half in (tmp_path / "half.new", tmp_path / "sets/half.new"):
        half.write_text("half")
    kept.remember(files(), "r")
    assert [path.name for path in tmp_path.rglob("*.new")] == []
    assert (tmp_path / "sets/README").exists()


# -- damage ---------------------------------------------------------------------------------------


def test_a_set_of_another_format_is_not_read(tmp_path: Path) -> None:
    kept = StateFolder(tmp_path)
    kept.remember(files(), "r")
    last = kept.last()
    assert last is not None
    (path,) = (tmp_path / "sets").iterdir()
    path.write_bytes(msgspec.json.encode(msgspec.structs.replace(last, format=2)))
    with pytest.raises(StateUnusable, match="does not hold the set"):
        kept.last()


def test_a_set_of_another_origin_than_it_had_is_not_read(tmp_path: Path) -> None:
    """Otherwise, whoever writes the file chooses which commits follow."""
    kept = StateFolder(tmp_path)
    kept.remember(files(), "r")
    (path,) = (tmp_path / "sets").iterdir()
    path.write_bytes(path.read_bytes().replace(b"c" * 40, b"e" * 40))
    with pytest.raises(StateUnusable, match="does not hold the set"):
        kept.last()


def test_a_damaged_set_keeps_nobody_from_another(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Who goes back to an old set is in a hurry."""
    kept = StateFolder(tmp_path)
    kept.remember(files(), "r1")
    (path,) = (tmp_path / "sets").iterdir()
    kept.remember(files("// another\n"), "r2")
    assert "damaged" not in caplog.text
    path.write_bytes(b"{")
    assert (named(kept, "r2"), named(kept, "r1")) == ("r2", None)
    assert "a stored set is damaged" in caplog.text


def test_a_set_that_is_too_large_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    kept = StateFolder(tmp_path)
    kept.remember(files("// long\n" * 100), "r")
    monkeypatch.setattr(state, "_LIMIT", 700)
    with pytest.raises(StateUnusable, match=r"cannot be used: .*\.json: .*700"):
        kept.last()


def test_a_set_that_is_gone_is_told_of(tmp_path: Path) -> None:
    kept = StateFolder(tmp_path)
    kept.remember(files(), "r")
    (path,) = (tmp_path / "sets").iterdir()
    path.unlink()
    with pytest.raises(StateUnusable, match=r"cannot be used: .*\.json: No such file"):
        kept.last()
    assert list(kept.kept()) == []


def test_what_is_no_folder_is_told_of(tmp_path: Path) -> None:
    kept = StateFolder(tmp_path / "state")
    with pytest.raises(StateUnusable, match=r"active\.json|state: No such file"):
        kept.confirm()
    (tmp_path / "state").write_text("a file")
    assert (kept.active(), list(kept.kept()), kept.confirmed_at()) == (None, [], None)


def test_a_folder_that_cannot_be_read_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(_: Path) -> None:
        raise OSError(errno.EACCES, os.strerror(errno.EACCES))

    kept = StateFolder(tmp_path)
    kept.remember(files(), "r")
    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StateUnusable, match="sets: Permission denied"):
        list(kept.kept())
