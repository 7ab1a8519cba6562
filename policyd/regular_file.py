"""Files that are read whole: regular ones alone, and never more than a limit.

A file that configuration names, or that lies in a folder which others may write, can be anything at
any moment: a pipe that nobody writes into, a device without an end. So nothing is waited for, what
was opened is looked at before it is read, and memory is bounded before it is taken. Links are
followed unless the caller opens the file by itself.
"""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import BinaryIO, Final

#: Opening waits for nobody: a pipe would wait for its writer.
READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
_CHUNK: Final = 1 << 16


class NotRegular(OSError):
    """What has the name of a file is a pipe, a device, a socket or a directory."""


class TooLong(OSError):
    """A file holds more bytes than may be read."""


def kind_of(mode: int) -> str:
    """Return what an entry is that is no regular file, by its `st_mode`."""
    kinds = (
        (stat.S_ISDIR, "a directory"),
        (stat.S_ISFIFO, "a pipe"),
        (stat.S_ISSOCK, "a socket"),
        (stat.S_ISCHR, "a device"),
        (stat.S_ISBLK, "a device"),
        (stat.S_ISLNK, "a link"),
    )
    return next((words for is_kind, words in kinds if is_kind(mode)), "no file")


def open_regular(path: Path) -> BinaryIO:
    """Open a file for reading, without waiting. Raises `NotRegular`, and `OSError` as `open`."""
    file = os.fdopen(os.open(path, READ), "rb")
    try:
        _check_regular(file.fileno(), str(path))
    except NotRegular:
        file.close()
        raise
    return file


def read_regular(path: Path, limit: int) -> bytes:
    """Return the bytes of a file.

    Raises:
        NotRegular: it is no regular file.
        TooLong: it holds more than `limit` bytes, of which no more is read.
        OSError: it cannot be read.
    """
    descriptor = os.open(path, READ)
    try:
        return read_descriptor(descriptor, str(path), limit)
    finally:
        os.close(descriptor)


def read_descriptor(descriptor: int, path: str, limit: int) -> bytes:
    """Return the bytes of a file that was opened as `READ` says. Raises as `read_regular` does."""
    found = _check_regular(descriptor, path)
    if found.st_size > limit:
        raise TooLong(0, f"it holds more than {limit:,} bytes", path)
    chunks: list[bytes] = []
    left = limit + 1
    while left and (chunk := os.read(descriptor, min(left, _CHUNK))):
        chunks.append(chunk)
        left -= len(chunk)
    if not left:  # it grew, or has no size to be asked for
        raise TooLong(0, f"it holds more than {limit:,} bytes", path)
    return b"".join(chunks)


def _check_regular(descriptor: int, path: str) -> os.stat_result:
    found = os.fstat(descriptor)
    if not stat.S_ISREG(found.st_mode):
        raise NotRegular(0, f"it is {kind_of(found.st_mode)} and no file", path)
    return found
