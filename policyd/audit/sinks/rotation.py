"""Rotates a file of the log by size and age, limits the number of old files, and compresses them.

`decisions.ndjson` becomes `decisions.ndjson.000001`, and the next one gets the next number,
independently of the clock. The newest of the old files is never compressed: another process may
still write to it.
"""

from __future__ import annotations

import gzip
import logging
import os
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from threading import Lock, Thread
from typing import Final

import msgspec

from policyd.audit.schema import UNREADABLE, Moment

_log = logging.getLogger(__name__)
_DIGITS: Final = 6
_PACKED: Final = ".gz"
_LEVEL: Final = 6
_PART: Final = ".part"
_BEGINNING: Final = 64 * 1024  # read from a file, to find the time of its first record


class Rotation(msgspec.Struct, frozen=True):
    """When a file is rotated: before it has more than `size` bytes, or is older than `age` seconds;
    `None` means never. `keep` is the number of old files that are kept; `None` means all."""

    size: int | None = None
    age: float | None = None
    keep: int | None = None
    gzip: bool = False


class _First(msgspec.Struct):
    time: Moment


class Rotator:
    """Rotates `path`. `clock` gives seconds since the epoch."""

    def __init__(
        self, path: Path, rotation: Rotation, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._rotation = rotation
        self._clock = clock
        self._began = 0.0
        self._tidying = Lock()

    def opened(self, descriptor: int) -> None:
        """Learn the time of the first record in a file that was opened."""
        self._began = _first_time(descriptor) or self._clock()

    def is_due(self, size: int, more: int) -> bool:
        """Return whether to rotate a file of that many bytes before `more` bytes are added."""
        if not size:
            self._began = self._clock()
            return False
        rotation = self._rotation
        if rotation.size is not None and size + more > rotation.size:
            return True
        return rotation.age is not None and self._clock() - self._began >= rotation.age

    def rotate(self) -> None:
        """Rename the file. Raises `OSError`."""
        numbers = [number for number, _ in self._old()]
        number = max(numbers, default=0) + 1
        self._path.rename(self._path.with_name(f"{self._path.name}.{number:0{_DIGITS}}"))
        Thread(target=self.tidy, name="decision-log-rotation", daemon=True).start()

    def tidy(self) -> None:
        """Remove and compress old files; one thread at a time does it."""
        with self._tidying:
            try:
                self._tidy()
            except OSError as error:
                about = {"path": str(self._path), "error": str(error)}
                _log.error("old files of the decision log cannot be tidied up", extra=about)

    def _tidy(self) -> None:
        old = sorted(self._old())
        keep = self._rotation.keep
        if keep is not None:
            gone = old[: max(0, len(old) - keep)]
            for _, path in gone:
                path.unlink(missing_ok=True)
            old = old[len(gone) :]
        if self._rotation.gzip:
            for _, path in old[:-1]:
                if path.suffix != _PACKED:
                    _pack(path)

    def _old(self) -> Iterator[tuple[int, Path]]:
        """Yield the old files with their numbers."""
        for path in self._path.parent.glob(f"{self._path.name}.*"):
            digits = path.name.removeprefix(f"{self._path.name}.").removesuffix(_PACKED)
            if digits.isascii() and digits.isdigit():
                yield int(digits), path


def _pack(path: Path) -> None:
    """Compress a file. If the process ends half-way, the next one starts again. Raises
    `OSError`."""
    part = path.with_name(f"{path.name}{_PACKED}.{os.getpid()}{_PART}")
    try:
        with path.open("rb") as plain, part.open("wb") as packed:
            os.fchmod(packed.fileno(), os.fstat(plain.fileno()).st_mode & 0o777)
            with gzip.GzipFile("", "wb", _LEVEL, packed, 0) as stream:
                shutil.copyfileobj(plain, stream, 1024 * 1024)
            packed.flush()
            os.fsync(packed.fileno())
        part.rename(path.with_name(path.name + _PACKED))
        path.unlink(missing_ok=True)
    except OSError:
        part.unlink(missing_ok=True)
        raise


def _first_time(descriptor: int) -> float | None:
    """Return the time of the first record of a file, if it can be read."""
    try:
        line = os.pread(descriptor, _BEGINNING, 0).partition(b"\n")[0]
        return msgspec.json.decode(line, type=_First).time.timestamp()
    except (*UNREADABLE, OSError):
        return None
