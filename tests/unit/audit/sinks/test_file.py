"""A file as a sink: rotation by others, half lines, full disks, other processes."""

from __future__ import annotations

import errno
import fcntl
import logging
import os
import resource
import shutil
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from policyd.audit import FileSink
from tests.support.tokens import Clock


@contextmanager
def opened(path: Path, clock: Clock | None = None) -> Iterator[FileSink]:
    """A sink that waits for nothing."""
    sink = FileSink(path, clock or Clock(), pause=lambda _: None)
    try:
        yield sink
    finally:
        sink.close()


@contextmanager
def files_no_longer_than(size: int) -> Iterator[None]:
    """Let writing fail beyond `size` bytes of a file, as on a full disk."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    ignored = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
        signal.signal(signal.SIGXFSZ, ignored)


def written(sink: FileSink, data: bytes) -> None:
    assert sink.write(data) == len(data)


@contextmanager
def opened_to_write_alone(path: Path) -> Iterator[FileSink]:
    """A sink on a file that it may not read."""
    path.touch()
    open_, refused = os.open, PermissionError(errno.EACCES, "Permission denied")

    def for_writing(place: Path, flags: int, mode: int = 0o777) -> int:
        if flags & os.O_RDWR:
            raise refused
        return open_(place, flags, mode)

    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(os, "open", for_writing)
        sink = FileSink(path, Clock(), pause=lambda _: None)
    yield sink
    sink.close()


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def amiss(sink: FileSink) -> str:
    return sink.problem or ""


def test_a_file_is_appended_to_and_not_for_everybody(tmp_path: Path) -> None:
    path = tmp_path / "log"
    for data in (b"one\n", b"two\n"):
        with opened(path) as sink:
            assert sink.problem is None
            written(sink, data)
            assert sink.problem is None
    assert path.read_bytes() == b"one\ntwo\n"
    assert path.stat().st_mode & 0o007 == 0


def test_no_descriptor_is_left_behind(tmp_path: Path) -> None:
    before = descriptors()
    with opened(tmp_path / "log") as sink:
        for _ in range(2):
            sink.reopen()
            assert descriptors() == before + 1
    assert descriptors() == before


def test_a_file_that_cannot_be_opened_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nowhere"):
        FileSink(tmp_path / "nowhere" / "log")


# -- rotation --------------------------------------------------------------------------------------


def test_a_renamed_file_is_left_for_the_one_that_took_its_place(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    with opened(path) as sink:
        written(sink, b"one\n")
        path.rename(old)
        path.touch()
        sink.look()
        written(sink, b"two\n")
    assert (old.read_bytes(), path.read_bytes()) == (b"one\n", b"two\n")


def test_a_file_that_stays_is_not_opened_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    with opened(tmp_path / "log") as sink:
        sink.look()
        assert caplog.messages == []
        (tmp_path / "log").rename(tmp_path / "log.1")
        (tmp_path / "log").touch()
        for _ in range(2):
            sink.look()
        assert caplog.messages == ["the decision log was reopened"]


def test_a_file_that_was_removed_has_a_successor_at_once(tmp_path: Path) -> None:
    """Nobody who rotates removes; there is nothing to wait for."""
    with opened(tmp_path / "log") as sink:
        (tmp_path / "log").unlink()
        sink.look()
        assert (tmp_path / "log").exists()


def test_a_file_that_came_back_is_as_if_it_had_never_been_gone(tmp_path: Path) -> None:
    path, away, clock = tmp_path / "log", tmp_path / "away", Clock()
    with opened(path, clock) as sink:
        for _ in range(2):
            path.rename(away)
            sink.look()
            clock.move(0.6)
            sink.look()
            assert not path.exists()
            away.rename(path)
            sink.look()


def test_who_renames_a_file_has_a_moment_to_make_the_next_one(tmp_path: Path) -> None:
    path, old, clock = tmp_path / "log", tmp_path / "log.1", Clock()
    with opened(path, clock) as sink:
        path.rename(old)
        sink.look()
        clock.move(0.9)
        sink.look()
        written(sink, b"one\n")
        assert not path.exists()
        clock.move(0.2)
        sink.look()
        written(sink, b"two\n")
        assert not amiss(sink)
    assert (old.read_bytes(), path.read_bytes()) == (b"one\n", b"two\n")


def test_the_moment_begins_anew_with_each_rename(tmp_path: Path) -> None:
    path, clock = tmp_path / "log", Clock()
    with opened(path, clock) as sink:
        for n in range(2):
            path.rename(tmp_path / f"log.{n}")
            sink.look()
            clock.move(0.6)
            sink.look()
            assert not path.exists()
            path.touch()
            sink.look()


def test_asked_for_it_a_renamed_file_is_left_at_once(tmp_path: Path) -> None:
    path, old = tmp_path / "log", tmp_path / "log.1"
    with opened(path) as sink:
        path.rename(old)
        sink.reopen()
        written(sink, b"one\n")
    assert (old.read_bytes(), path.read_bytes()) == (b"", b"one\n")


@pytest.mark.parametrize("looks", [True, False])
def test_nothing_goes_to_a_file_that_was_removed(tmp_path: Path, looks: bool) -> None:
    path = tmp_path / "log"
    with opened(path) as sink:
        written(sink, b"one\n")
        path.unlink()
        if looks:
            sink.look()
        written(sink, b"two\n")
    assert path.read_bytes() == b"two\n"


def test_what_went_to_a_file_while_it_was_removed_is_not_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "log", os.write

    def removing(descriptor: int, data: bytes) -> int:
        path.unlink(missing_ok=True)
        return write(descriptor, data)

    with opened(path) as sink:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", removing)
            assert sink.write(b"one\n") == 0
        written(sink, b"one\n")
    assert path.read_bytes() == b"one\n"


def test_where_the_folder_was_moved_the_old_file_goes_on(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder, moved, clock = tmp_path / "logs", tmp_path / "moved", Clock()
    folder.mkdir()
    with opened(folder / "log", clock) as sink:
        folder.rename(moved)
        for _ in range(4):
            sink.look()
            clock.move(1)
        written(sink, b"one\n")
        assert "the old file goes on" in amiss(sink)
        assert [one.levelno for one in caplog.records] == [logging.ERROR], "said once"
        moved.rename(folder)
        sink.look()
        assert not amiss(sink)
        folder.rename(moved)
        sink.look()
        clock.move(1)
        folder.mkdir()
        sink.look()
        written(sink, b"two\n")
        assert not amiss(sink)
    assert (moved / "log").read_bytes() == b"one\n"
    assert (folder / "log").read_bytes() == b"two\n"


def test_where_the_folder_was_removed_records_wait(tmp_path: Path) -> None:
    folder = tmp_path / "logs"
    folder.mkdir()
    with opened(folder / "log") as sink:
        shutil.rmtree(folder)
        sink.look()
        assert sink.write(b"one\n") == 0
        assert "cannot be created again" in amiss(sink)
        folder.mkdir()
        written(sink, b"one\n")
        assert not amiss(sink)
    assert (folder / "log").read_bytes() == b"one\n"


def test_a_link_is_followed_to_where_it_leads_by_now(tmp_path: Path) -> None:
    path, one, two = tmp_path / "log", tmp_path / "one", tmp_path / "two"
    path.symlink_to(one)
    with opened(path) as sink:
        written(sink, b"one\n")
        path.unlink()
        two.touch()
        path.symlink_to(two)
        sink.look()
        written(sink, b"two\n")
    assert (one.read_bytes(), two.read_bytes()) == (b"one\n", b"two\n")


def test_a_file_emptied_in_place_goes_on_from_its_beginning(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened(path) as sink:
        written(sink, b"one\n")
        os.truncate(path, 0)
        sink.look()
        written(sink, b"two\n")
    assert path.read_bytes() == b"two\n"


# -- half lines ------------------------------------------------------------------------------------


def test_half_a_line_that_a_crash_left_swallows_no_record(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b'{"half')
    with opened(path) as sink, opened(path) as other:
        written(sink, b"one\n")
        written(other, b"two\n")
        with path.open("ab") as crashing:
            crashing.write(b"cra")
        written(sink, b"three\n")
    assert path.read_bytes() == b'{"half\none\ntwo\ncra\nthree\n'


@pytest.mark.parametrize("room", range(9))
def test_on_a_full_disk_whole_lines_are_taken(tmp_path: Path, room: int) -> None:
    path, data = tmp_path / "log", b"one\ntwo\n"
    with opened(path) as sink:
        written(sink, b"before\n")
        with files_no_longer_than(len(b"before\n") + room):
            taken = sink.write(data)
            assert taken == room // 4 * 4
            assert path.read_bytes() == b"before\n" + data[:taken]
            assert (not amiss(sink)) == (taken == len(data))
        if taken < len(data):
            written(sink, data[taken:])
        assert not amiss(sink)
    assert path.read_bytes() == b"before\n" + data


def test_half_a_line_that_cannot_be_cut_is_ended(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened(path) as sink, path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # it may be appending too
        with files_no_longer_than(6):
            assert sink.write(b"one\ntwo\n") == 4
        assert path.read_bytes() == b"one\ntw"
        written(sink, b"two\n")
    assert path.read_bytes() == b"one\ntw\ntwo\n"


def test_a_line_that_another_program_appended_meanwhile_is_not_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path, write = tmp_path / "log", os.write
    path.touch()

    def meanwhile(descriptor: int, data: bytes) -> int:
        if len(data) < 5:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = write(descriptor, bytes(data[:5]))
        with path.open("ab") as other:
            other.write(b"\nother\n")
        return written

    with opened(path) as sink:
        with monkeypatch.context() as patched:
            patched.setattr(os, "write", meanwhile)
            assert sink.write(b"one\ntwo\n") == 4
        written(sink, b"two\n")
    assert path.read_bytes() == b"one\nt\nother\ntwo\n"


def test_the_lock_is_held_for_one_write(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened(path) as sink, path.open("ab") as other:
        written(sink, b"one\n")
        fcntl.flock(other, fcntl.LOCK_EX | fcntl.LOCK_NB)


def test_a_lock_that_others_hold_is_tried_for_a_while(tmp_path: Path) -> None:
    pauses: list[float] = []
    sink = FileSink(tmp_path / "log", Clock(), pause=pauses.append)
    with (tmp_path / "log").open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        written(sink, b"one\n")
    sink.close()
    assert pauses == [0.001] * 200


def test_where_there_are_no_locks_nothing_is_cut(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def flock(_descriptor: int, _operation: int) -> None:
        raise OSError(errno.ENOLCK, "No locks available")

    monkeypatch.setattr(fcntl, "flock", flock)
    path = tmp_path / "log"
    with opened(path) as sink:
        with files_no_longer_than(6):
            assert sink.write(b"one\ntwo\n") == 4
        written(sink, b"two\n")
    assert path.read_bytes() == b"one\ntw\ntwo\n"


@pytest.mark.parametrize("room", [0, 1, 3, 4])
def test_a_file_for_writing_alone_has_no_empty_lines(tmp_path: Path, room: int) -> None:
    path = tmp_path / "log"
    with opened_to_write_alone(path) as sink:
        written(sink, b"one\n")
        with files_no_longer_than(4 + room):
            taken = sink.write(b"two\n")
        assert (taken, path.read_bytes()) == (room // 4 * 4, b"one\ntwo\n"[: 4 + room // 4 * 4])
        for data in (b"three\n", b"four\n"):
            written(sink, data)
    assert path.read_bytes() == b"one\n" + b"two\n" * (room // 4) + b"three\nfour\n"


def test_where_it_stopped_between_two_lines_it_goes_on_there(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened_to_write_alone(path) as sink, path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)
        with files_no_longer_than(4):
            assert sink.write(b"one\ntwo\n") == 4
        written(sink, b"two\n")
    assert path.read_bytes() == b"one\ntwo\n"


def test_where_it_may_not_read_it_remembers_the_half_line_it_left(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with opened_to_write_alone(path) as sink, path.open("ab") as other:
        fcntl.flock(other, fcntl.LOCK_EX)  # so it does not cut
        with files_no_longer_than(6):
            assert sink.write(b"one\ntwo\n") == 4
        for data in (b"two\n", b"three\n"):
            written(sink, data)
    assert path.read_bytes() == b"one\ntw\ntwo\nthree\n"


def test_a_pipe_is_written_whoever_holds_it_and_wherever_it_is(tmp_path: Path) -> None:
    path = tmp_path / "fifo"
    os.mkfifo(path)
    reader = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    pauses: list[float] = []
    sink = FileSink(path, Clock(), pause=pauses.append)
    sink.look()
    fcntl.flock(reader, fcntl.LOCK_EX)
    written(sink, b"one\n")
    path.unlink()
    written(sink, b"two\n")
    sink.close()
    assert (os.read(reader, 100), pauses, path.exists()) == (b"one\ntwo\n", [], False)
    os.close(reader)


def test_an_interrupted_write_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path, write = tmp_path / "log", os.write
    monkeypatch.setattr(os, "write", lambda descriptor, data: write(descriptor, bytes(data[:3])))
    with opened(path) as sink:
        written(sink, b"one\ntwo\nthree\n")
    assert path.read_bytes() == b"one\ntwo\nthree\n"
