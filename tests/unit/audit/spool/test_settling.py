"""What a crash of the machine leaves of a spool, and what its disk says no to."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from zlib import crc32

import pytest

from policyd.audit.spool import Cursor, Reader, Spool
from policyd.audit.spool.chunk import head, next_chunk
from tests.support.disk import Disk
from tests.support.spool import lines, opened, read_all


@pytest.fixture
def disk(monkeypatch: pytest.MonkeyPatch) -> Disk:
    return Disk(monkeypatch)


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.glob("*.segment"))


def problem(spool: Spool) -> str | None:
    return spool.problem


def test_each_file_that_was_written_is_put_on_the_disk_and_so_is_its_name(
    tmp_path: Path, disk: Disk
) -> None:
    folder = tmp_path / "log" / "spool"
    with opened(folder) as spool:
        assert (problem(spool), spool.settle()) == (None, True)
        assert disk.taken() == [], "nothing was written"
        spool.write(lines(0))
        assert spool.settle()
        assert disk.taken() == [*names(folder), "spool"]
        assert spool.settle()
        assert disk.taken() == [], "nothing was written since"
        spool.write(lines(1))
        assert spool.settle()
        assert disk.taken() == names(folder), "its name is there already"
        for first in range(2, 200, 2):
            spool.write(lines(first, 2))
        assert len(names(folder)) > 2
        assert spool.settle()
        assert set(disk.taken()) == {*names(folder), "spool"}


def test_what_cannot_be_put_on_the_disk_is_a_problem_and_tried_again(
    tmp_path: Path, disk: Disk
) -> None:
    folder = tmp_path / "spool"
    with opened(folder) as spool:
        spool.write(lines(0))
        for name in (*names(folder), "spool"):
            disk.broken = {name}
            assert not spool.settle()
            assert problem(spool) == "the spool cannot be put on the disk: Input/output error"
            assert name not in disk.taken()
        disk.broken.clear()
        assert spool.settle()
        assert disk.taken() == [*names(folder), "spool"]
        spool.write(lines(1))
        assert problem(spool) is None


def test_no_segment_is_begun_while_the_one_before_is_not_on_the_disk(
    tmp_path: Path, disk: Disk
) -> None:
    with opened(tmp_path / "spool") as spool:
        spool.write(lines(0, 50))
        disk.broken = set(names(spool.folder))
        before = spool.end
        data = lines(50, 150)
        taken = spool.write(data)
        assert spool.end == before + data[:taken].count(b"\n") < 200
        assert problem(spool) == "the spool cannot be written: Input/output error"
        disk.broken.clear()
        assert spool.write(data[taken:]) == len(data) - taken
        assert problem(spool) is None
        assert read_all(spool) == (list(range(200)), 0)


def test_a_stop_puts_all_on_the_disk_or_says_so(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    for broken in (False, True):
        folder = tmp_path / str(broken)
        with opened(folder) as spool:
            spool.write(lines(0))
            (name,) = names(folder)
            disk.broken = {name} if broken else set()
            caplog.clear()
        assert (name in disk.taken()) is not broken
        assert ("the spool is not on the disk" in caplog.text) is broken


def test_the_folder_is_kept_from_others_for_as_long_as_a_sink_may_use_it(tmp_path: Path) -> None:
    first = Spool(tmp_path)
    first.close(keep_lock=True)
    with pytest.raises(BlockingIOError):
        Spool(tmp_path)
    os.close(first._lock)
    second = Spool(tmp_path)
    second.close()
    Spool(tmp_path).close()


def test_a_chunk_that_was_taken_in_parts_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A write may take less than it was given, where a signal comes or room is short."""
    writev = os.writev
    monkeypatch.setattr(os, "writev", lambda to, parts: writev(to, [b"".join(parts)[:17]]))
    with opened(tmp_path) as spool:
        data = lines(0, 10)
        assert spool.write(data) == len(data)
        assert read_all(spool) == (list(range(10)), 0)
        assert Path(tmp_path, names(tmp_path)[0]).stat().st_size == spool.size
    with opened(tmp_path) as spool:
        assert (spool.end, spool.torn_bytes) == (10, 0)


def test_half_a_chunk_that_cannot_be_removed_is_left_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What follows goes to another segment; no reader meets the half, after a restart either."""
    writev = os.writev

    def fails(*_: object) -> int:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    with opened(tmp_path) as spool:
        spool.write(lines(0, 3))
        with monkeypatch.context() as patch:
            patch.setattr(os, "writev", lambda to, parts: writev(to, [b"".join(parts)[:30]]))
            patch.setattr(os, "write", fails)
            patch.setattr(os, "ftruncate", fails)
            assert spool.write(lines(3, 3)) == 0
        assert problem(spool) == "the spool cannot be written: Input/output error"
        spool.write(lines(3, 3))
        assert len(names(tmp_path)) == 2
        assert read_all(spool) == (list(range(6)), 0)
    with opened(tmp_path) as spool:
        assert spool.end == 6
        assert read_all(spool) == (list(range(6)), 0)


def test_that_the_oldest_records_go_is_said_once_until_they_are_delivered_again(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    done = [0]

    def said() -> int:
        return caplog.text.count("the spool is full; some sink will not get its oldest records")

    with opened(tmp_path, 4096) as spool:
        spool.acknowledged = lambda: done[0]
        for first in range(0, 800, 40):
            spool.write(lines(first, 40))
        assert spool.begin > 300
        assert said() == 1
        done[0] = spool.end
        spool.look()
        for first in range(800, 1600, 40):
            done[0] = spool.end
            spool.write(lines(first, 40))
        assert said() == 1, "all were delivered before they went"
        for first in range(1600, 2400, 40):
            spool.write(lines(first, 40))
        assert said() == 2


@pytest.mark.parametrize("delivered", [True, False])
def test_one_large_segment_makes_room_for_the_next(
    tmp_path: Path, delivered: bool, caplog: pytest.LogCaptureFixture
) -> None:
    with opened(tmp_path, 4096) as spool:
        spool.acknowledged = lambda: 1 if delivered else 0
        spool.write(lines(0, padding=10_000))
        spool.write(lines(1))
        assert (spool.begin, spool.end) == (1, 2)
        assert ("the spool is full" in caplog.text) is not delivered
        assert read_all(spool) == ([1], 1)


def open_segments() -> int:
    """Return how many descriptors of segments this process has."""
    links = (path.readlink() for path in Path("/proc/self/fd").iterdir() if path.is_symlink())
    return sum(link.suffix == ".segment" for link in links)


def test_a_reader_has_one_file_open_and_leaves_none(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.write(lines(0, 200))
        spool.settle()
        before = open_segments()
        reader = Reader(spool, 0)
        while reader.read(10, 1 << 20):
            assert open_segments() == before + 1
        reader.close()
        reader.close()
        assert open_segments() == before
    assert open_segments() == before - 1


def test_without_dropping_what_is_delivered_makes_room_and_no_more_than_that(
    tmp_path: Path,
) -> None:
    with opened(tmp_path, 4096, drops=False) as spool:
        done = [0]
        spool.acknowledged = lambda: done[0]
        data = lines(0, 1000)
        taken = spool.write(data)
        done[0] = spool.end // 2
        more = spool.write(data[taken:])
        assert 0 < more < len(data) - taken
        assert spool.size <= 4096
        assert 0 < spool.begin <= done[0]
        assert problem(spool) == "the spool is full: its 4,096 bytes wait to be delivered"
        assert read_all(spool, done[0]) == ([*range(done[0], spool.end)], 0)


def test_one_segment_that_is_delivered_makes_room_without_dropping(tmp_path: Path) -> None:
    with opened(tmp_path, 4096, drops=False) as spool:
        spool.write(lines(0, padding=10_000))
        assert spool.write(lines(1)) == 0
        spool.acknowledged = lambda: 1
        assert spool.write(lines(1)) > 0
        assert problem(spool) is None
        assert read_all(spool, 1) == ([1], 0)


def test_a_segment_that_somebody_removed_is_no_trouble(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.write(lines(0, 200))
        (tmp_path / names(tmp_path)[0]).unlink()
        spool.acknowledged = lambda: 150
        spool.look()
        assert 0 < spool.begin <= 150
        assert read_all(spool, 150) == ([*range(150, 200)], 0)


# -- what is found at a start ---------------------------------------------------------------------


def test_a_torn_tail_is_told_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with opened(tmp_path) as spool:
        spool.write(lines(0, 3))
    with opened(tmp_path):
        pass
    assert "was cut off" not in caplog.text
    os.truncate(tmp_path / names(tmp_path)[0], 40)
    with opened(tmp_path) as spool:
        assert (spool.torn_bytes, spool.torn_records, spool.end) == (40, 3, 3)
    assert "the spool's last chunk was cut off" in caplog.text


def test_files_that_are_none_of_its_own_stay_and_empty_segments_go(tmp_path: Path) -> None:
    for name in ("notes.segment", "other.txt"):
        (tmp_path / name).write_text("words\n")
    (tmp_path / f"{7:020d}.segment").write_bytes(b"")
    with opened(tmp_path) as spool:
        assert spool.end == 0
        spool.write(lines(0))
        assert read_all(spool) == ([0], 0)
    assert {path.name for path in tmp_path.iterdir()} == {
        "notes.segment", "other.txt", "lock", f"{0:020d}.segment",
    }  # fmt: skip


def chunk(first: int, number: int) -> bytes:
    return head(first, number, lines(first, number)) + lines(first, number)


@pytest.mark.parametrize("stranger", [chunk(3, 2), chunk(50, 5), chunk(14, 2)])
def test_a_chunk_that_cannot_be_its_segments_is_passed_over(
    tmp_path: Path, stranger: bytes
) -> None:
    """It begins before its segment does, or ends behind where the next one begins."""
    (tmp_path / f"{10:020d}.segment").write_bytes(chunk(10, 5) + stranger)
    (tmp_path / f"{15:020d}.segment").write_bytes(chunk(15, 3))
    with opened(tmp_path) as spool:
        assert read_all(spool, 10) == ([*range(10, 18)], 0)
        reader = Reader(spool, 10)
        while reader.read(100, 1 << 20):
            pass
        assert reader.damaged == len(stranger)
        reader.close()


def test_a_chunk_that_was_there_before_does_not_set_the_numbers_back(tmp_path: Path) -> None:
    data = chunk(10, 5) + chunk(10, 2) + chunk(15, 1)
    (tmp_path / f"{10:020d}.segment").write_bytes(data)
    with opened(tmp_path) as spool:
        assert (spool.begin, spool.end, spool.torn_bytes) == (10, 16, 0)


@pytest.mark.parametrize(
    ("left", "lost"),
    [
        (head(15, 4, lines(15, 4)), 4),  # the head tells how many
        (head(11, 2, lines(11, 2)), 1),  # one that was there before does not
        (b"torn" + lines(15, 3), 3),
        (b"torn", 1),
    ],
)
def test_how_many_records_a_torn_tail_held(tmp_path: Path, left: bytes, lost: int) -> None:
    whole = head(10, 5, lines(10, 5)) + lines(10, 5)
    (tmp_path / f"{10:020d}.segment").write_bytes(whole + left)
    with opened(tmp_path) as spool:
        assert (spool.torn_bytes, spool.torn_records, spool.end) == (len(left), lost, 15 + lost)
        spool.write(lines(100))
        assert read_all(spool, 10) == ([*range(10, 15), 100], lost)


@pytest.mark.parametrize("before", [b"", b"x", b"xx"])
def test_what_looks_like_the_beginning_of_a_chunk_hides_none(tmp_path: Path, before: bytes) -> None:
    chunk = head(0, 1, lines(0)) + lines(0)
    mark = chunk[:4]
    path = tmp_path / "segment"
    path.write_bytes(before + mark + b"x" + mark + chunk)
    with path.open("rb") as file:
        found = next_chunk(file.fileno(), 0, path.stat().st_size)
    assert found is not None
    assert (found.lines, found.at) == (lines(0), len(before) + 9)


def test_a_chunk_with_another_mark_is_none_though_its_checksums_are_right(tmp_path: Path) -> None:
    whole = b"\xff\xfeQD" + head(0, 1, lines(0))[4:-4]
    path = tmp_path / "segment"
    path.write_bytes(whole + crc32(whole).to_bytes(4, "little") + lines(0))
    with path.open("rb") as file:
        assert next_chunk(file.fileno(), 0, path.stat().st_size) is None


# -- cursors --------------------------------------------------------------------------------------


def test_a_cursor_is_on_the_disk_before_it_has_its_name(tmp_path: Path, disk: Disk) -> None:
    Cursor(tmp_path, "http").save(7)
    assert disk.taken() == ["http.cursor.new"]


def test_a_cursor_that_cannot_be_written_stays_where_it_was(
    tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = Cursor(tmp_path, "http")
    cursor.save(7)
    disk.broken = {"http.cursor.new", "http.cursor"}
    with pytest.raises(OSError, match="Input/output error"):
        cursor.save(8)
    assert cursor.position == 7
    disk.broken.clear()
    write = os.write
    with monkeypatch.context() as patch:
        patch.setattr(os, "write", lambda to, data: write(to, data[:-1]))
        with pytest.raises(OSError, match="No space left"):
            cursor.save(9)
    assert cursor.position == 7
    assert not (tmp_path / "http.cursor.new").exists()


def test_where_the_disk_has_no_room_for_a_name_the_cursor_is_overwritten(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = Cursor(tmp_path, "http")
    cursor.save(7)
    open_ = os.open

    def refuse(path: Path, flags: int, mode: int) -> int:
        if flags & os.O_CREAT:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return open_(path, flags, mode)

    monkeypatch.setattr(os, "open", refuse)
    cursor.save(8)
    again = Cursor(tmp_path, "http")
    assert again.load()
    assert (again.position, cursor.position) == (8, 8)


def test_numbers_begin_behind_every_cursor(tmp_path: Path) -> None:
    """Those of sinks that are not configured any more, too, and whatever the order."""
    for name, position in {"a": 5, "b": 90, "c": 20}.items():
        Cursor(tmp_path, name).save(position)
    (tmp_path / "d.cursor").write_bytes(b"damaged")
    with opened(tmp_path) as spool:
        assert spool.end == 90
