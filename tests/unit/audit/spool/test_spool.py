"""The spool: each record in its order, or counted as missing."""

from __future__ import annotations

import os
import resource
import subprocess
import sys
from pathlib import Path

import pytest

from policyd.audit.spool import Cursor, Reader, Spool
from policyd.audit.spool.chunk import HEAD_BYTES, chunk_at, head, next_chunk
from policyd.audit.spool.cursor import CursorDamaged
from tests.support.spool import lines, opened, read_all


def problem(spool: Spool) -> str | None:
    return spool.problem


def segments(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.segment"))


def test_returns_what_was_written_in_order(tmp_path: Path) -> None:
    with opened(tmp_path / "spool") as spool:
        for first in range(0, 200, 5):
            data = lines(first, 5)
            assert spool.write(data) == len(data)
        assert read_all(spool) == (list(range(200)), 0)
        assert read_all(spool, 123) == (list(range(123, 200)), 0)
        assert read_all(spool, 200) == ([], 0)
        assert len(segments(spool.folder)) > 2
        assert spool.settle()
        assert (spool.problem, spool.end, spool.begin) == (None, 200, 0)


def test_a_reader_follows_the_writer(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        reader = Reader(spool, 0)
        assert not reader.read(10, 1000)
        for first in range(100):
            spool.write(lines(first))
            (record,) = reader.read(10, 1000).records
            assert record + b"\n" == lines(first)
        reader.close()


def test_batches_are_bounded_in_records_and_in_bytes(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.write(lines(0, 50))
        reader = Reader(spool, 0)
        assert len(reader.read(7, 1 << 20).records) == 7
        assert len(reader.read(100, 40).records) == 3
        assert len(reader.read(100, 1 << 20).records) == 40
        reader.close()


def test_a_start_goes_on_where_the_last_one_ended(tmp_path: Path) -> None:
    for first in range(0, 30, 10):
        with opened(tmp_path) as spool:
            assert spool.end == first
            spool.write(lines(first, 10))
    with opened(tmp_path) as spool:
        assert read_all(spool) == (list(range(30)), 0)


def test_one_process_has_the_folder(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.write(lines(0))
        with pytest.raises(BlockingIOError):
            Spool(tmp_path)
    with opened(tmp_path) as spool:
        assert spool.end == 1


@pytest.mark.parametrize("cut", [1, 20, HEAD_BYTES - 1, HEAD_BYTES, HEAD_BYTES + 20, 60])
def test_a_torn_tail_is_cut_and_counted(tmp_path: Path, cut: int) -> None:
    with opened(tmp_path) as spool:
        spool.write(lines(0, 10))
        kept = segments(tmp_path)[0].stat().st_size
        spool.write(lines(10, 4))
    os.truncate(segments(tmp_path)[0], kept + cut)
    whole_head = cut >= HEAD_BYTES
    with opened(tmp_path) as spool:
        assert spool.torn_bytes == cut
        assert spool.torn_records == (4 if whole_head else 1)
        missing = spool.torn_records
        assert read_all(spool) == (list(range(10)), missing)
        spool.write(lines(100, 2))
        assert read_all(spool) == ([*range(10), 100, 101], missing)
    with opened(tmp_path) as spool:
        assert read_all(spool) == ([*range(10), 100, 101], missing)


def test_a_damaged_chunk_in_the_middle_costs_itself(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for first in range(0, 30, 10):
            spool.write(lines(first, 10))
        path = segments(tmp_path)[0]
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 0x40
        path.write_bytes(data)
        reader = Reader(spool, 0)
        batches = [reader.read(100, 1 << 20), reader.read(100, 1 << 20)]
        assert [(one.missing, len(one.records)) for one in batches] == [(0, 10), (10, 10)]
        assert reader.damaged == len(lines(10, 10)) + HEAD_BYTES
        reader.close()


def test_the_oldest_make_room_and_each_reader_learns_how_many(tmp_path: Path) -> None:
    with opened(tmp_path, 4096) as spool:
        slow = Reader(spool, 0)
        for first in range(0, 1000, 10):
            data = lines(first, 10)
            assert spool.write(data) == len(data)
            assert spool.size <= 4096
        found, missing = read_all(spool)
        assert (found[-1], found[0], missing) == (999, missing, 1000 - len(found))
        assert found == list(range(missing, 1000))
        batch = slow.read(10_000, 1 << 20)
        assert batch.missing == missing
        slow.close()


def test_a_record_that_is_larger_than_all_the_room_is_taken_alone(tmp_path: Path) -> None:
    for drops in (True, False):
        with opened(tmp_path / str(drops), 4096, drops=drops) as spool:
            large = lines(0, padding=10_000)
            assert spool.write(large) == len(large)
            assert read_all(spool) == ([0], 0)
            assert (spool.write(lines(1)) > 0) is drops


def test_without_dropping_no_more_is_taken_until_there_is_room(tmp_path: Path) -> None:
    with opened(tmp_path, 4096, drops=False) as spool:
        done = [0]
        spool.acknowledged = lambda: done[0]
        data = lines(0, 1000)
        taken = spool.write(data)
        assert 0 < taken < 4096
        assert problem(spool) == "the spool is full: its 4,096 bytes wait to be delivered"
        assert spool.write(data[taken:]) == 0
        assert data[:taken].count(b"\n") == spool.end
        done[0] = spool.end
        rest = data[taken:]
        assert spool.write(rest[:512].rpartition(b"\n")[0] + b"\n") > 0
        assert problem(spool) is None
        assert spool.size < 1024


def test_what_all_have_acknowledged_is_removed(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for first in range(0, 400, 10):
            spool.write(lines(first, 10))
        done = [0]
        spool.acknowledged = lambda: done[0]
        spool.look()
        assert spool.begin == 0
        done[0] = 270
        spool.look()
        assert 0 < spool.begin <= 270
        assert read_all(spool, 270) == (list(range(270, 400)), 0)
    with opened(tmp_path) as spool:
        spool.acknowledged = lambda: 400
        spool.look()
        assert segments(tmp_path) == []
        spool.write(lines(0))


def test_while_it_cannot_be_written_what_is_delivered_makes_room(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        spool.write(lines(0, 3))
        reader = Reader(spool, 0)
        assert len(reader.read(10, 1 << 20).records) == 3
        spool.acknowledged = lambda: 3
        spool.look()
        assert len(segments(tmp_path)) == 1
        spool.problem = "the disk is full"
        spool.look()
        assert segments(tmp_path) == []
        assert not reader.read(10, 1 << 20)
        assert reader._descriptor == -1  # which would keep its room
        spool.write(lines(3))
        assert len(reader.read(10, 1 << 20).records) == 1
        reader.close()


def test_numbers_go_on_behind_a_cursor_though_its_segments_are_gone(tmp_path: Path) -> None:
    Cursor(tmp_path, "http").save(500)
    with opened(tmp_path) as spool:
        assert spool.end == 500
        spool.write(lines(0))
        assert read_all(spool, 500) == ([0], 0)


FULL = """
import resource, sys
from pathlib import Path
sys.path.insert(0, ".")
from policyd.audit.spool import Spool
from tests.support.spool import lines, read_all
spool = Spool(Path(sys.argv[1]))
import signal
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
small = lines(0, 10)
assert spool.write(small) == len(small)
size = spool.size
hard = resource.RLIM_INFINITY
resource.setrlimit(resource.RLIMIT_FSIZE, (size + int(sys.argv[2]), hard))
assert spool.write(lines(10, 10)) == 0
print(spool.problem, spool.size == size)
resource.setrlimit(resource.RLIMIT_FSIZE, (hard, hard))
more = lines(10, 10)
assert spool.write(more) == len(more)
print(spool.problem, read_all(spool) == (list(range(20)), 0))
"""


@pytest.mark.parametrize("room", [0, 5, HEAD_BYTES, HEAD_BYTES + 50])
def test_a_full_disk_leaves_no_half_chunk(tmp_path: Path, room: int) -> None:
    assert resource.getrlimit(resource.RLIMIT_FSIZE)[1] == resource.RLIM_INFINITY
    command = [sys.executable, "-c", FULL, str(tmp_path), str(room)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "the spool cannot be written: File too large True",
        "None True",
    ]


def test_a_folder_that_cannot_be_written_is_a_problem_that_passes(tmp_path: Path) -> None:
    folder = tmp_path / "spool"
    with opened(folder) as spool:
        moved = folder.rename(tmp_path / "elsewhere")
        assert spool.write(lines(0)) == 0
        assert problem(spool) == "the spool cannot be written: No such file or directory"
        moved.rename(folder)
        assert spool.write(lines(0)) > 0
        assert problem(spool) is None
        assert read_all(spool) == ([0], 0)


def test_a_chunk_of_another_segment_is_none_of_this(tmp_path: Path) -> None:
    with opened(tmp_path) as spool:
        for first in range(0, 200, 10):
            spool.write(lines(first, 10))
    one, other, *_ = segments(tmp_path)
    one.write_bytes(other.read_bytes())
    with opened(tmp_path) as spool:
        found, missing = read_all(spool)
        assert found == list(range(missing, 200))
        assert missing == int(other.stem)


def test_a_head_that_counts_wrong_is_damage(tmp_path: Path) -> None:
    (tmp_path / f"{0:020d}.segment").write_bytes(head(0, 5, b"{}\n") + b"{}\n")
    with opened(tmp_path) as spool:
        assert read_all(spool) == ([], 5)


def test_a_cursor_is_what_was_saved(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "http")
    assert not cursor.load()
    for position in (0, 1, 2**63):
        cursor.save(position)
        again = Cursor(tmp_path, "http")
        assert again.load()
        assert again.position == position
    assert [path.name for path in tmp_path.iterdir()] == ["http.cursor"]


@pytest.mark.parametrize("data", [b"", b"\n", b"12", b"0" * 30, b"x" * 30, b"\xff" * 30])
def test_a_damaged_cursor_is_none(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "http.cursor").write_bytes(data)
    with pytest.raises(CursorDamaged):
        Cursor(tmp_path, "http").load()
    with opened(tmp_path) as spool:
        assert spool.end == 0


def test_where_no_new_file_can_be_made_a_cursor_is_overwritten(tmp_path: Path) -> None:
    cursor = Cursor(tmp_path, "http")
    cursor.save(1)
    (tmp_path / "http.cursor.new").mkdir()
    with pytest.raises(OSError, match="directory"):
        cursor.save(2)
    assert cursor.position == 1


def test_a_folder_that_becomes_read_only_is_a_problem_that_passes(tmp_path: Path) -> None:
    script = """
import os, sys
from pathlib import Path
sys.path.insert(0, ".")
from policyd.audit.spool import Spool
from tests.support.spool import lines, read_all
folder = Path(sys.argv[1]) / "spool"
spool = Spool(folder)
folder.chmod(0o500)
os.setuid(65534)
assert spool.write(lines(0)) == 0
print(spool.problem)
"""
    tmp_path.chmod(0o755)
    if os.getuid() != 0:
        script = script.replace("os.setuid(65534)\n", "")
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.stdout == "the spool cannot be written: Permission denied\n", done.stderr


def test_what_a_writer_has_not_finished_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    data = head(0, 3, lines(0, 3)) + lines(0, 3)
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDONLY)
    for end in range(len(data)):
        assert chunk_at(descriptor, 0, end) is None
    found = chunk_at(descriptor, 0, len(data))
    assert found is not None
    assert (found.lines, found.next, found.end) == (lines(0, 3), 3, len(data))
    os.close(descriptor)


@pytest.mark.parametrize("stray", [0, 1, 2, 500])
def test_the_next_chunk_is_found_behind_stray_bytes(tmp_path: Path, stray: int) -> None:
    path = tmp_path / "segment"
    path.write_bytes(b"\xff" * stray + head(0, 1, lines(0)) + lines(0))
    descriptor = os.open(path, os.O_RDONLY)
    found = next_chunk(descriptor, 0, path.stat().st_size)
    assert found is not None
    assert (found.at, found.lines) == (stray, lines(0))
    assert next_chunk(descriptor, found.end, found.end) is None
    os.close(descriptor)


def test_each_bit_of_a_head_counts(tmp_path: Path) -> None:
    path = tmp_path / "segment"
    data = head(5, 1, lines(0)) + lines(0)
    path.write_bytes(data)
    descriptor = os.open(path, os.O_RDWR)
    for bit in range(8 * HEAD_BYTES):
        changed = bytearray(data)
        changed[bit // 8] ^= 1 << bit % 8
        os.pwrite(descriptor, changed, 0)
        assert chunk_at(descriptor, 0, len(data)) is None, bit
    os.close(descriptor)


def test_a_cursor_takes_no_room_on_a_full_disk(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cursor = Cursor(tmp_path, "http")
    cursor.save(1)

    def refuse(_from: Path, _to: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", refuse)
    cursor.save(2)
    again = Cursor(tmp_path, "http")
    assert again.load()
    assert (again.position, cursor.position) == (2, 2)
    assert [path.name for path in tmp_path.iterdir()] == ["http.cursor"]
