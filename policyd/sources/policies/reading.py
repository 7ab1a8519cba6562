"""Reads a regular file below a directory, up to a limit.

A user with write access to the directory can put anything there at any time: a pipe without a
writer, an endless device, a link in place of a file. So this module follows no link (the walk has
resolved them), never blocks, checks the type of an opened file before reading it, and limits the
memory.
"""

from __future__ import annotations

import os
from typing import Final

from policyd.regular_file import READ, read_descriptor

#: Opens a folder only to pass through it, which needs no permission to list it.
_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = READ | os.O_NOFOLLOW


def read_bytes(base: str, path: str, limit: int) -> bytes:
    """Return the bytes of the file at `path` below `base`; `path` contains no link.

    Raises:
        NotRegular: it is not a regular file. TooLong: it holds more than `limit` bytes. OSError: it
        cannot be read, or a part of the path is a link.
    """
    descriptor = _open(base, path)
    try:
        return read_descriptor(descriptor, path, limit)
    finally:
        os.close(descriptor)


def _open(base: str, path: str) -> int:
    """Open folder by folder, so that a folder replaced by a link in the meantime is noticed."""
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
