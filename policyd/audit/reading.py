"""Reads files of the decision log line by line: plain, compressed or in Parquet, of any length, and
damaged ones.

The input is paths, the output chunks of lines. Memory stays flat: a line that is longer than any
record is skipped unread. Large files are read in parts, by several processes.

Invariant: each line of a file belongs to exactly one of its parts: the part in which it begins.
"""

from __future__ import annotations

import gzip
import io
import os
import sys
import zlib
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from typing import IO, Final, Protocol, cast

import msgspec

from policyd.audit.parquet import MAGIC, ParquetUnreadable, lines_of
from policyd.audit.schema import Fault
from policyd.errors import PolicydError

#: The most bytes of a line: far more than a message may have, which a record repeats.
LONGEST: Final = 32 * 1024 * 1024
_CHUNK: Final = 1024 * 1024
#: The approximate bytes of a part.
PART: Final = 64 * 1024 * 1024
_GZIP, _ZSTD = b"\x1f\x8b", b"\x28\xb5\x2f\xfd"
STDIN: Final = Path("-")

#: Called for each unusable line, with the fault, the line's number and the problem.
Trouble = Callable[[Fault, int, str], None]


class LogUnreadable(PolicydError):
    """A file cannot be opened or read."""


class Part(msgspec.Struct, frozen=True):
    """The lines of a file that begin at `start` or after it, and before `end`; `None` is its end.

    `first` says whether the part begins with the first line of the file.
    """

    path: Path
    start: int = 0
    end: int | None = None


def parts(paths: Iterable[Path], size: int = PART) -> list[Part]:
    """Divide files into parts. A file that is compressed, in Parquet, or not a regular file is one
    part.

    Raises `LogUnreadable`.
    """
    found: list[Part] = []
    for path in paths:
        if path == STDIN:
            found.append(Part(path))
            continue
        try:
            with path.open("rb") as file:
                beginning = file.read(len(_ZSTD)) if path.is_file() else b""
                length = os.fstat(file.fileno()).st_size
        except OSError as error:
            raise LogUnreadable(f"{path}: {error.strerror}") from None
        packed = beginning.startswith((_GZIP, _ZSTD, MAGIC))
        whole = not path.is_file() or packed or length <= size
        starts = [0] if whole else list(range(0, length, size))
        found += [
            Part(path, start, None if whole else min(start + size, length)) for start in starts
        ]
    return found


class Lines:
    """The lines of a part. `number` counts the lines read so far.

    `trouble` is called for each line that cannot be read.
    """

    def __init__(self, part: Part, trouble: Trouble, longest: int = LONGEST) -> None:
        self._part = part
        self._trouble = trouble
        self._longest = longest
        self.number = 0
        #: Whether the last line of the file has no line feed.
        self.unfinished = False

    def chunks(self) -> Iterator[list[bytes]]:
        """Yield chunks of lines; meanwhile, `number` counts the lines of earlier chunks. Raises
        `LogUnreadable`."""
        for lines in self._rows() if _is_parquet(self._part) else self._split():
            yield lines
            self.number += len(lines)

    def _rows(self) -> Iterator[list[bytes]]:
        try:
            for lines in lines_of(self._part.path):
                for number, line in enumerate(lines, self.number + 1):
                    if len(line) > self._longest:
                        self._trouble("long", number, _too_long(self._longest))
                yield [line if len(line) <= self._longest else b"" for line in lines]
        except ParquetUnreadable as error:
            raise LogUnreadable(str(error)) from None
        except OSError as error:
            raise LogUnreadable(f"{self._part.path}: {error.strerror or error}") from None

    def _split(self) -> Iterator[list[bytes]]:
        part, rest, passing, overlong = self._part, b"", False, False
        at = part.start
        if at:  # a line that begins before `start` belongs to the part before
            at -= 1
            passing = True
        for data in self._data(at):
            if passing or overlong:
                cut = data.find(b"\n") + 1
                at += cut or len(data)
                if overlong and cut:
                    self.number += 1
                if part.end is not None and at >= part.end and not overlong:
                    return
                if not cut:
                    continue
                data, passing, overlong = data[cut:], False, False
                if part.end is not None and at >= part.end:
                    return
            block = rest + data
            last = 0
            if part.end is not None and at + len(block) >= part.end:
                last = block.find(b"\n", max(0, part.end - 1 - at)) + 1
                block = block[:last] if last else block
            end = block.rfind(b"\n") + 1
            if end:
                yield block[: end - 1].split(b"\n")
            if last:
                return
            rest = block[end:]
            at += end
            if len(rest) > self._longest:
                self._trouble("long", self.number + 1, _too_long(self._longest))
                at += len(rest)
                rest, overlong = b"", True
        if rest:
            self.unfinished = True
            yield [rest]

    def _data(self, start: int) -> Iterator[bytes]:
        try:
            with _opened(self._part.path, start) as file:
                while data := file.read(_CHUNK):
                    yield data
        except OSError as error:
            if isinstance(error, gzip.BadGzipFile):
                self._damaged(str(error))
            else:
                raise LogUnreadable(f"{self._part.path}: {error.strerror or error}") from None
        except (EOFError, zlib.error) as error:
            self._damaged(str(error))

    def _damaged(self, said: str) -> None:
        """Report that the rest of a compressed file cannot be read."""
        self._trouble("damaged", self.number + 1, f"what follows cannot be decompressed: {said}")


def _too_long(longest: int) -> str:
    return f"the line has more than {longest:,} bytes"


def _is_parquet(part: Part) -> bool:
    if part.path == STDIN or part.start or not part.path.is_file():
        return False
    with part.path.open("rb") as file:
        return file.read(len(MAGIC)) == MAGIC


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


@contextmanager
def _opened(path: Path, start: int) -> Iterator[_Readable]:
    """Open a file, decompressed. Raises `LogUnreadable`, `OSError`."""
    if path == STDIN:
        yield _decompressed(cast(io.BufferedReader, sys.stdin.buffer), "standard input")
        return
    with path.open("rb") as file:
        file.seek(start) if start else None
        yield file if start else _decompressed(file, str(path))


def _decompressed(file: io.BufferedReader, name: str) -> _Readable:
    beginning = file.peek(len(_ZSTD)) if hasattr(file, "peek") else b""
    if beginning.startswith(_GZIP):
        return gzip.GzipFile(fileobj=file)
    if beginning.startswith(_ZSTD):
        return _zstd(file, name)
    if beginning.startswith(MAGIC):
        raise LogUnreadable(f"{name} is in Parquet, which can only be read from a file")
    return file


def _zstd(file: IO[bytes], name: str) -> _Zstd:
    """Decompress with Python's own module (3.14), or else with the package `zstandard`."""
    try:
        own = import_module("compression.zstd")
        return _Zstd(own.open(file, "rb"), own.ZstdError)
    except ImportError:
        pass
    try:
        import zstandard
    except ImportError:
        raise LogUnreadable(
            f"{name} is compressed with zstd, which this Python cannot read: install "
            "`policyd[replay]`, or pass it on standard input: zstd -dc FILE | policyd … -"
        ) from None
    # A file that was appended to has several frames; without this, the reader would stop after the
    # first.
    reader = zstandard.ZstdDecompressor().stream_reader(file, read_across_frames=True)
    return _Zstd(reader, zstandard.ZstdError)


class _Zstd:
    """Reads data compressed with zstd; `failure` is the exception that the module raises for
    damage."""

    def __init__(self, reader: IO[bytes], failure: type[Exception]) -> None:
        self._reader = reader
        self._failure = failure

    def read(self, size: int) -> bytes:
        """Return at most that many bytes, and none at the end. Raises `EOFError` if the data are
        damaged."""
        try:
            return self._reader.read(size)
        except self._failure as error:
            raise EOFError(str(error)) from error
