"""The bytes of a file below a directory: nothing but a regular file, and never more than a limit.

A user with write access to the directory may put anything there at any time: a pipe that nobody
writes into, an endless device, a link in place of a file. So no link is followed here (the walk has
resolved them), nothing is waited for, what was opened is looked at before it is read, and memory is
bounded before it is taken.
"""

from __future__ import annotations

import os
from typing import Final

from policyd.regular_file import READ, read_descriptor

#: Opens a folder for nothing but to pass through it, which needs no permission to list it.
_PASS: Final = getattr(os, "O_PATH", os.O_RDONLY) | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC
_READ: Final = READ | os.O_NOFOLLOW


def read_bytes(base: str, path: str, limit: int) -> bytes:
    """Return the bytes of the file at `path` from `base`, which has no link in it.

    Raises:
        NotRegular: it is no file.
        TooLong: it holds more than `limit` bytes, of which no more is read.
        OSError: it cannot be read, or a link is on the way.
    """
    descriptor = _open(base, path)
    try:
        return read_descriptor(descriptor, path, limit)
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
