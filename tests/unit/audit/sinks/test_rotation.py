"""A file of the log that the daemon rotates itself: no record lost, none too old, none too many."""

from __future__ import annotations

import gzip
import os
import threading
from pathlib import Path

import pytest

from policyd.audit.reading import Lines, parts
from policyd.audit.sinks import FileSink
from policyd.audit.sinks.rotation import Rotation, Rotator
from tests.support.disk import Disk

NAME = "decisions.ndjson"


def line(number: int, second: int = 0) -> bytes:
    return b'{"time":"2027-01-15T08:00:%02dZ","n":%d}\n' % (second, number)


class Site:
    def __init__(self, folder: Path, rotation: Rotation, now: float = 1_800_000_000.0) -> None:
        self.path = folder / NAME
        self.now = now
        self.rotator = Rotator(self.path, rotation, lambda: self.now)

    def open(self) -> FileSink:
        return FileSink(self.path, rotator=self.rotator)

    def settled(self) -> list[str]:
        """Return the names of the files, once none is tidied up any more."""
        for thread in threading.enumerate():
            if thread.name == "decision-log-rotation":
                thread.join(30)
        return sorted(path.name for path in self.path.parent.iterdir())

    def lines(self) -> list[bytes]:
        """Return all records, of the oldest file first."""
        *old, newest = (self.path.parent / name for name in self._in_order())
        found: list[bytes] = []
        for part in parts([*old, newest]):
            for chunk in Lines(part, lambda *_: pytest.fail("damaged")).chunks():
                found += [one + b"\n" for one in chunk if one]
        return found

    def _in_order(self) -> list[str]:
        first, *rest = self.settled()
        assert first == NAME
        return [*rest, first]


def test_rotates_before_the_file_is_too_large(tmp_path: Path) -> None:
    site = Site(tmp_path, Rotation(size=200))
    sink = site.open()
    for number in range(20):
        assert sink.write(line(number)) == len(line(number))
    sink.close()
    assert site.settled()[:2] == [NAME, f"{NAME}.000001"]
    assert all(path.stat().st_size <= 200 for path in tmp_path.iterdir())
    assert site.lines() == [line(number) for number in range(20)]


def test_rotates_what_is_too_old_by_its_first_record(tmp_path: Path) -> None:
    site = Site(tmp_path, Rotation(age=60))
    site.path.write_bytes(line(0))  # of 08:00:00, which is what the clock says
    sink = site.open()
    site.now += 59
    sink.write(line(1))
    assert site.settled() == [NAME]
    site.now += 1
    sink.write(line(2))
    assert site.settled() == [NAME, f"{NAME}.000001"]
    site.now -= 10_000  # a clock that is set back rotates nothing
    sink.write(line(3))
    assert len(site.settled()) == 2
    sink.close()
    assert site.path.read_bytes() == line(2) + line(3)


def test_keeps_so_many_and_compresses_all_but_the_newest(tmp_path: Path) -> None:
    site = Site(tmp_path, Rotation(size=100, keep=3, gzip=True))
    sink = site.open()
    for number in range(30):
        sink.write(line(number))
        site.settled()
    sink.close()
    names = site.settled()
    numbers = [int(name.split(".")[2]) for name in names[1:]]
    assert numbers == list(range(numbers[-1] - 2, numbers[-1] + 1))
    assert [name.endswith(".gz") for name in names[1:]] == [True, True, False]
    found = site.lines()
    assert found == [line(number) for number in range(30 - len(found), 30)]


def test_numbers_go_on_after_a_restart_and_strangers_are_left(tmp_path: Path) -> None:
    site = Site(tmp_path, Rotation(size=50, keep=5))
    (tmp_path / f"{NAME}.000041.gz").write_bytes(gzip.compress(line(1)))
    (tmp_path / f"{NAME}.old").write_bytes(line(2))
    sink = site.open()
    sink.write(line(3))
    sink.write(line(4))
    sink.close()
    assert site.settled() == [NAME, f"{NAME}.000041.gz", f"{NAME}.000042", f"{NAME}.old"]


def test_what_cannot_be_rotated_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    site = Site(tmp_path, Rotation(size=50))
    sink = site.open()

    def problem() -> str | None:
        return sink.problem

    with monkeypatch.context() as patch:

        def refuse() -> None:
            raise PermissionError(13, "Permission denied")

        patch.setattr(site.rotator, "rotate", refuse)
        for number in range(3):
            sink.write(line(number))
        assert problem() == "it cannot be rotated, and goes on: Permission denied"
    sink.look()
    sink.write(line(3))
    assert problem() is None
    assert site.lines() == [line(number) for number in range(4)]
    assert [record.message for record in caplog.records] == ["the decision log cannot be rotated"]
    sink.close()


def test_two_processes_may_share_a_file_that_rotates(tmp_path: Path) -> None:
    one = Site(tmp_path, Rotation(size=100))
    other = Site(tmp_path, Rotation(size=100))
    sinks = [one.open(), other.open()]
    for number in range(20):
        sink = sinks[number % 2]
        sink.look()
        assert sink.write(line(number)) == len(line(number))
    for sink in sinks:
        sink.close()
    assert one.lines() == [line(number) for number in range(20)]


def test_a_compressed_file_is_on_the_disk_before_the_plain_one_goes(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    disk = Disk(monkeypatch)
    old = [tmp_path / f"{NAME}.{number:06}" for number in (1, 2)]
    for number, path in enumerate(old):
        path.write_bytes(line(number))
        path.chmod(0o604)
    part = f"{old[0].name}.gz.{os.getpid()}.part"
    rotator = Rotator(tmp_path / NAME, Rotation(gzip=True))
    disk.broken = {part}
    rotator.tidy()
    assert sorted(tmp_path.iterdir()) == old
    assert caplog.messages == ["old files of the decision log cannot be tidied up"]
    disk.broken.clear()
    rotator.tidy()
    assert disk.taken() == [part]
    packed = old[0].with_suffix(old[0].suffix + ".gz")
    assert sorted(tmp_path.iterdir()) == [packed, old[1]]
    assert gzip.decompress(packed.read_bytes()) == line(0)
    assert packed.stat().st_mode & 0o777 == 0o604
    rotator.tidy()
    assert disk.taken() == [], "and is not compressed again"


@pytest.mark.parametrize(("keep", "left"), [(None, 3), (0, 0), (1, 1), (3, 3), (4, 3)])
def test_so_many_old_files_stay(tmp_path: Path, keep: int | None, left: int) -> None:
    for number in (1, 2, 10):
        (tmp_path / f"{NAME}.{number:06}").write_bytes(line(number))
    Rotator(tmp_path / NAME, Rotation(keep=keep)).tidy()
    numbers = sorted(int(path.name.split(".")[2]) for path in tmp_path.iterdir())
    assert numbers == ([1, 2, 10][-left:] if left else [])


@pytest.mark.parametrize(
    ("size", "more", "due"), [(0, 1000, False), (50, 50, False), (50, 51, True), (100, 1, True)]
)
def test_an_empty_file_is_not_rotated_and_no_other_gets_too_large(
    tmp_path: Path, size: int, more: int, due: bool
) -> None:
    assert Rotator(tmp_path / NAME, Rotation(size=100)).is_due(size, more) is due
    assert not Rotator(tmp_path / NAME, Rotation()).is_due(size, more)


def test_a_file_without_a_time_is_as_old_as_its_opening(tmp_path: Path) -> None:
    for data in (b"", b"no record\n", b"\xff\n", b'{"n": 1}\n'):
        site = Site(tmp_path, Rotation(age=60))
        site.path.write_bytes(data)
        with site.path.open("rb") as file:
            site.rotator.opened(file.fileno())
        site.now += 59
        assert not site.rotator.is_due(1, 1)
        site.now += 1
        assert site.rotator.is_due(1, 1)
        assert not site.rotator.is_due(0, 1)
        site.now += 59
        assert not site.rotator.is_due(1, 1), "its age counts from its first record on"
