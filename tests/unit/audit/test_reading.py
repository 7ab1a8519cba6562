"""Files of the log, line by line."""

from __future__ import annotations

import gzip
import io
import itertools
from pathlib import Path

import pytest

from policyd.audit.reading import STDIN, Lines, LogUnreadable, Part, parts
from policyd.audit.schema import Fault

Troubles = list[tuple[Fault, int]]


def read(part: Part, longest: int = 1 << 20) -> tuple[list[tuple[int, bytes]], Troubles]:
    """Return the lines of a part with their numbers, and what is wrong."""
    troubles: Troubles = []
    lines = Lines(part, lambda fault, number, _: troubles.append((fault, number)), longest)
    found = [
        (lines.number + offset, line)
        for chunk in lines.chunks()
        for offset, line in enumerate(chunk, 1)
    ]
    return found, troubles


def whole(path: Path, longest: int = 1 << 20) -> tuple[list[tuple[int, bytes]], Troubles]:
    (part,) = parts([path])
    return read(part, longest)


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_lines_have_numbers(tmp_path: Path, end: bytes) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n\nthree" + end)
    assert whole(path) == ([(1, b"one"), (2, b""), (3, b"three")], [])


def test_each_line_is_in_one_part(tmp_path: Path) -> None:
    path = tmp_path / "log"
    texts = [b"x" * length for length in (3, 0, 9, 1, 1, 30, 2, 0, 0, 7)]
    for end in (b"", b"\n"):
        path.write_bytes(b"\n".join(texts) + end)
        for size in range(1, 60):
            listed = parts([path], size)
            found = [line for part in listed for _, line in read(part)[0]]
            assert found == texts, size


def test_numbers_of_parts_add_up(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"".join(b"%d\n" % number for number in range(500)))
    for part, after in itertools.pairwise(parts([path], 100)):
        assert part.end == after.start
    numbers = [len(read(part)[0]) for part in parts([path], 100)]
    assert sum(numbers) == 500


def test_a_line_that_is_too_long_is_passed_over(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_bytes(b"one\n" + b"x" * (3 << 20) + b"\nthree\n")
    assert whole(path) == ([(1, b"one"), (3, b"three")], [("long", 2)])
    found, troubles = [], []
    for part in parts([path], 1 << 20):
        lines, trouble = read(part)
        found += [line for _, line in lines]
        troubles += trouble
    assert (found, [fault for fault, _ in troubles]) == ([b"one", b"three"], ["long"])


def test_what_is_compressed_is_one_part(tmp_path: Path) -> None:
    path = tmp_path / "log.anything"
    path.write_bytes(gzip.compress(b"one\n") + gzip.compress(b"two\n"))
    assert parts([path], 1) == [Part(path)]
    assert whole(path) == ([(1, b"one"), (2, b"two")], [])


@pytest.mark.parametrize("keep", [-1, -12, 40])
def test_a_compressed_file_that_ends_too_early(tmp_path: Path, keep: int) -> None:
    path = tmp_path / "log.gz"
    path.write_bytes(gzip.compress(b"one\n" * 1000)[:keep])
    _, troubles = whole(path)
    assert [fault for fault, _ in troubles] == ["damaged"]


def test_a_compressed_file_that_is_damaged(tmp_path: Path) -> None:
    path = tmp_path / "log.gz"
    data = bytearray(gzip.compress(b"one\n"))
    data[-6] ^= 0xFF  # of its checksum
    path.write_bytes(data)
    assert whole(path)[1] == [("damaged", 1)]


def test_zstd(tmp_path: Path) -> None:
    zstandard = pytest.importorskip("zstandard", reason="the package zstandard is not installed")
    path = tmp_path / "log.zst"
    frame = zstandard.ZstdCompressor().compress
    path.write_bytes(frame(b"one\n") + frame(b"two\n"))
    assert whole(path) == ([(1, b"one"), (2, b"two")], [])
    path.write_bytes(frame(b"one\n") + b"\x28\xb5\x2f\xfdnonsense")
    assert [fault for fault, _ in whole(path)[1]] == ["damaged"]


def test_zstd_without_a_module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in ("compression.zstd", "zstandard"):
        monkeypatch.setitem(__import__("sys").modules, module, None)
    path = tmp_path / "log.zst"
    path.write_bytes(b"\x28\xb5\x2f\xfd....")
    with pytest.raises(LogUnreadable, match=r"install `policyd\[replay\]`"):
        whole(path)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(LogUnreadable, match="No such file"):
        parts([tmp_path / "log"])
    with pytest.raises(LogUnreadable, match="Is a directory"):
        parts([tmp_path])


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"one\ntwo")))
    assert parts([STDIN]) == [Part(STDIN)]
    assert read(Part(STDIN)) == ([(1, b"one"), (2, b"two")], [])
