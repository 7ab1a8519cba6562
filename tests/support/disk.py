"""A disk that says what is put on it, and may refuse."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest


class Disk:
    """Notes which files are put on the disk, by their names; `broken` ones cannot be.

    `sizes` are their bytes at that moment.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settled: list[str] = []
        self.broken: set[str] = set()
        self.sizes: dict[str, int] = {}
        monkeypatch.setattr(os, "fdatasync", self._noting(os.fdatasync))
        monkeypatch.setattr(os, "fsync", self._noting(os.fsync))

    def _noting(self, settle: Callable[[int], None]) -> Callable[[int], None]:
        def note(descriptor: int) -> None:
            name = Path(f"/proc/self/fd/{descriptor}").readlink().name
            if name in self.broken:
                raise OSError(errno.EIO, os.strerror(errno.EIO))
            settle(descriptor)
            self.settled.append(name)
            self.sizes[name] = os.fstat(descriptor).st_size

        return note

    def taken(self) -> list[str]:
        """Return what was put on the disk since the last call."""
        taken, self.settled = self.settled, []
        return taken
