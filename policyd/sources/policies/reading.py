"""The bytes of a file below a directory: nothing but a regular file, and never more than a limit.

Whoever may write the directory may put anything there at any moment: a pipe that nobody writes
into, a device without an end, a link in place of a file. So no link is followed here (the walk has
resolved them), nothing is waited for, what was opened is looked at before it is read, and memory is
bounded before it is taken.
"""

from __future__ import annotations

import os
import stat
from typing import Final

#: Opens a folder for nothing but to pass through it, which needs no permission to list it.
_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = os.O_RDONLY | os.O_NONBLOCK | os.O_NOFOLLOW | os.O_NOCTTY | os.O_CLOEXEC
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


def read_bytes(base: str, path: str, limit: int) -> bytes:
    """Return the bytes of the file at `path` from `base`, which has no link in it.

    Raises:
        NotRegular: it is no file.
        TooLong: it holds more than `limit` bytes, of which no more is read.
        OSError: it cannot be read, or a link is on the way.
    """
    descriptor = _open(base, path)
    try:
        found = os.fstat(descriptor)
        if not stat.S_ISREG(found.st_mode):
            raise NotRegular(0, f"it is {kind_of(found.st_mode)} and no file", path)
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
    finally:
        os.close(descriptor)


def _open(base: str, path: str) -> int:
    """Open step by step: so nobody can put a link in a folder's place meanwhile."""
    *folders, name = path.split("/")
    folder = os.open(base, _PASS)
    try:
        for step in folders:
            inner = os.open(step, _PASS, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name, _READ, dir_fd=folder)
    finally:
        os.close(folder)
