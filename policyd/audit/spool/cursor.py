"""The position of a sink: the number of the first record that it has not acknowledged.

A new file is written, synced and renamed. On a full disk, the old file is overwritten in place. It
has a fixed length, so that needs no room, and a checksum, which reveals a partial write. Otherwise
a full disk would stay full: segments can only be removed after the cursor has moved.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final
from zlib import crc32

from policyd.errors import PolicydError

_MODE: Final = 0o640
_LENGTH: Final = 30  # 20 digits, a space, 8 hexadecimal digits, a line feed
SUFFIX: Final = ".cursor"


class CursorDamaged(PolicydError):
    """The file does not contain a valid cursor."""


class Cursor:
    """The file of one sink. `position` is the one on disk, to which a crash returns."""

    def __init__(self, folder: Path, name: str) -> None:
        """`name` is that of the sink. This reads nothing yet."""
        self._path = folder / f"{name}{SUFFIX}"
        self.position = 0

    def load(self) -> bool:
        """Read the file; return whether there is one. Raises `CursorDamaged`, `OSError`."""
        try:
            data = self._path.read_bytes()
        except FileNotFoundError:
            return False
        self.position = _read(data)
        return True

    def save(self, position: int) -> None:
        """Write the file. Raises `OSError`; the old position then remains."""
        data = _written(position)
        new = self._path.with_suffix(f"{SUFFIX}.new")
        try:
            _write(new, os.O_CREAT | os.O_TRUNC, data)
            new.replace(self._path)
        except OSError:
            new.unlink(missing_ok=True)
            _write(self._path, 0, data)
        self.position = position


def positions(folder: Path) -> list[int]:
    """Return the positions of all sinks, including sinks that are no longer configured.

    Raises `OSError`. Damaged files are left out.
    """
    found: list[int] = []
    for path in sorted(folder.glob(f"*{SUFFIX}")):
        try:
            found.append(_read(path.read_bytes()))
        except CursorDamaged:
            continue
    return found


def _written(position: int) -> bytes:
    digits = b"%020d" % position
    return b"%b %08x\n" % (digits, crc32(digits))


def _read(data: bytes) -> int:
    digits = data[:20]
    if len(data) != _LENGTH or not digits.isdigit() or data != _written(int(digits)):
        raise CursorDamaged("the cursor is damaged")
    return int(digits)


def _write(path: Path, flags: int, data: bytes) -> None:
    descriptor = os.open(path, os.O_WRONLY | flags, _MODE)
    try:
        written = os.write(descriptor, data)
        if written != len(data):
            raise OSError(28, os.strerror(28), str(path))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
