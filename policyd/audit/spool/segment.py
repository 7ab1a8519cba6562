"""The files of a spool. A segment is named after the number of its first record."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final

from policyd.audit.spool.chunk import end_after, next_chunk

_SUFFIX: Final = ".segment"
_MODE: Final = 0o640


class Segment:
    """A file of chunks. It may be read up to `size` bytes; `size` is final once the file is
    `closed`.

    One thread writes these two fields; others read `closed` first.
    """

    __slots__ = ("closed", "first", "path", "size")

    def __init__(self, folder: Path, first: int, size: int = 0, *, closed: bool = False) -> None:
        self.first = first
        self.path = folder / f"{first:020d}{_SUFFIX}"
        self.size = size
        self.closed = closed

    def create(self) -> int:
        """Create the file, and return its descriptor. Raises `OSError`."""
        flags = os.O_CREAT | os.O_EXCL | os.O_APPEND | os.O_WRONLY
        return os.open(self.path, flags, _MODE)

    def open(self) -> int:
        """Open the file for reading. Raises `OSError`."""
        return os.open(self.path, os.O_RDONLY)


def segments_in(folder: Path) -> list[Segment]:
    """Return the segments of a folder, in order. Empty ones are removed.

    Raises `OSError`.
    """
    found: list[Segment] = []
    for path in folder.glob(f"*{_SUFFIX}"):
        if not path.stem.isdigit():
            continue
        size = path.stat().st_size
        if size:
            found.append(Segment(folder, int(path.stem), size, closed=True))
        else:
            path.unlink()
    return sorted(found, key=lambda segment: segment.first)


class Tail:
    """The end of a segment: `end` is the number after its last record. `lost` is the number of
    truncated records, and `bytes` their size."""

    def __init__(self, segment: Segment) -> None:
        """Read a whole segment. Raises `OSError`."""
        self.end, self.lost, self.bytes = segment.first, 0, 0
        descriptor = segment.open()
        try:
            at = 0
            while (chunk := next_chunk(descriptor, at, segment.size)) is not None:
                at = chunk.end
                if chunk.first >= self.end:  # else one that does not belong here
                    self.end = chunk.next
            if at < segment.size:
                self.bytes = segment.size - at
                end = end_after(descriptor, at, segment.size, self.end)
                self.end, self.lost = end, end - self.end
        finally:
            os.close(descriptor)
