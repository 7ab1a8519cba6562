"""The writing side of a spool. It is the decision log's sink if there are several sinks, or one
that can be unreachable.

A start never appends to a file that a crash may have truncated: it begins a new segment. Records
lost at the end of the old one keep their numbers, so each reader learns how many are missing.
"""

from __future__ import annotations

import fcntl
import logging
import os
from collections.abc import Callable
from pathlib import Path
from typing import Final

from policyd.audit.spool.chunk import HEAD_BYTES, head
from policyd.audit.spool.cursor import positions
from policyd.audit.spool.segment import Segment, Tail, segments_in

_log = logging.getLogger(__name__)
DEFAULT_MAX_BYTES: Final = 1024**3
_SEGMENT: Final = 16 * 1024 * 1024
#: The least number of segments in a full spool, and of chunks in a full segment.
_PARTS: Final = 8
_CHUNK: Final = 512 * 1024
_FOLDER_MODE: Final = 0o750


class Spool:
    """Appends to a folder as its only writer. It is a `Sink`.

    `max_bytes` bounds the size of all segments. When it is reached, the oldest are dropped with
    `drops`; otherwise no more records are taken. `acknowledged` returns the least number that some
    sink has not acknowledged.
    """

    def __init__(
        self,
        folder: Path,
        max_bytes: int = DEFAULT_MAX_BYTES,
        *,
        drops: bool = True,
        segment_bytes: int = _SEGMENT,
    ) -> None:
        """Open the folder, or create it.

        Raises:
            OSError: the folder cannot be created or written, or another process uses it
            (`BlockingIOError`).
        """
        folder.mkdir(_FOLDER_MODE, parents=True, exist_ok=True)
        self._folder = folder
        self._lock = _locked(folder)
        self._max_bytes = max_bytes
        self._drops = drops
        self._segment_bytes = min(segment_bytes, max(1, max_bytes // _PARTS))
        self._chunk_bytes = min(_CHUNK, max(1, self._segment_bytes // _PARTS))
        self.problem: str | None = None
        #: The bytes and records of a truncated chunk that a crash left at the end of the last
        #: segment.
        self.torn_bytes = self.torn_records = 0
        #: Returns the least number that some sink has not acknowledged yet.
        self.acknowledged: Callable[[], int] = lambda: 0
        found = segments_in(folder)
        self._segments: tuple[Segment, ...] = tuple(found)
        #: The number of the next record.
        self.end = self._recovered(found)
        self._descriptor = -1
        self._left: list[int] = []  # descriptors of finished segments, not synced yet
        self._unsettled = self._unnamed = self._dropping = False

    def _recovered(self, found: list[Segment]) -> int:
        """Return the next number: greater than all known numbers."""
        ends = [0, *positions(self._folder)]
        if found:
            tail = Tail(found[-1])
            ends.append(tail.end)
            if tail.bytes:
                self.torn_bytes, self.torn_records = tail.bytes, tail.lost
                _log.warning(
                    "the spool's last chunk was cut off",
                    extra={"bytes": tail.bytes, "records": tail.lost},
                )
        return max(ends)

    @property
    def folder(self) -> Path:
        """The path of the spool."""
        return self._folder

    @property
    def size(self) -> int:
        """The size of all segments, in bytes."""
        return sum(segment.size for segment in self._segments)

    @property
    def begin(self) -> int:
        """The number of the oldest record in the spool."""
        segments = self._segments
        return segments[0].first if segments else self.end

    def after(self, segment: Segment | None, position: int = 0) -> Segment | None:
        """Return the segment after a given one, or without one the segment that contains
        `position`."""
        segments = self._segments
        if segment is not None:
            return next((one for one in segments if one.first > segment.first), None)
        holding = [one for one in segments if one.first <= position]
        return holding[-1] if holding else next(iter(segments), None)

    def write(self, data: bytes) -> int:
        """See `Sink`."""
        view, taken = memoryview(data), 0
        while taken < len(data):
            length = self._cut(data, taken)
            if not self._append(view[taken : taken + length]):
                return taken
            taken += length
        self.problem = None
        return taken

    def _cut(self, data: bytes, start: int) -> int:
        """Return the length of the next chunk, which consists of whole lines."""
        end = start + self._chunk_bytes
        if end >= len(data):
            return len(data) - start
        found = data.rfind(b"\n", start, end)
        return (found if found >= 0 else data.find(b"\n", end)) + 1 - start

    def _append(self, lines: memoryview) -> bool:
        size = HEAD_BYTES + len(lines)
        try:
            if not self._has_room(size):
                self.problem = (
                    f"the spool is full: its {self._max_bytes:,} bytes wait to be delivered"
                )
                return False
            segment = self._active(size)
            self._write(segment, bytes(lines))
        except OSError as error:
            self.problem = f"the spool cannot be written: {error.strerror}"
            return False
        return True

    def _write(self, segment: Segment, lines: bytes) -> None:
        records = lines.count(b"\n")
        beginning = head(self.end, records, lines)
        self._unsettled = True
        wanted = len(beginning) + len(lines)
        try:
            written = os.writev(self._descriptor, (beginning, lines))
            while written < wanted:  # writing the rest raises the reason
                rest = (beginning + lines)[written:]
                written += os.write(self._descriptor, rest)
        except OSError:
            self._undo(segment)
            raise
        segment.size += wanted
        self.end += records

    def _undo(self, segment: Segment) -> None:
        """Remove a partial chunk; if that fails, leave it and begin another segment."""
        try:
            os.ftruncate(self._descriptor, segment.size)
        except OSError:
            self._finish()
        if not segment.size:  # an empty file would have the name of the next segment
            self._finish()
            self._remove(segment)

    def _active(self, size: int) -> Segment:
        """Return a segment with room for that many more bytes. Raises `OSError`."""
        if self._descriptor >= 0:
            segment = self._segments[-1]
            if not segment.size or segment.size + size <= self._segment_bytes:
                return segment
            self._finish()
        self._settle_left()
        segment = Segment(self._folder, self.end)
        self._descriptor = segment.create()
        self._segments = (*self._segments, segment)
        self._unnamed = True
        return segment

    def _finish(self) -> None:
        """Finish the current segment."""
        if self._descriptor >= 0:
            self._left.append(self._descriptor)
            self._descriptor = -1
            self._segments[-1].closed = True

    def _settle_left(self) -> None:
        """Sync the finished segments to disk. Raises `OSError`."""
        while self._left:
            os.fdatasync(self._left[0])
            os.close(self._left.pop(0))

    def _has_room(self, size: int) -> bool:
        """Make room for that many bytes, if allowed; return whether there is room. Raises
        `OSError`."""
        if self.size + size <= self._max_bytes:
            return True
        self.look()
        if self.size + size > self._max_bytes and self.acknowledged() >= self.end:
            self._finish()
            self.look()
        if not self._drops:
            return self.size + size <= self._max_bytes or not self._segments
        while self._segments and self.size + size > self._max_bytes:
            if len(self._segments) == 1:
                self._finish()
            self._drop(self._segments[0])
        return True

    def _drop(self, oldest: Segment) -> None:
        """Remove the oldest segment, which some sink has not delivered. Raises `OSError`."""
        following = self.after(oldest)
        end = self.end if following is None else following.first
        lost = end - max(oldest.first, min(end, self.acknowledged()))
        self._remove(oldest)
        if lost and not self._dropping:
            _log.error("the spool is full; some sink will not get its oldest records")
        self._dropping = self._dropping or lost > 0

    def _remove(self, segment: Segment) -> None:
        segment.path.unlink(missing_ok=True)
        self._segments = tuple(one for one in self._segments if one is not segment)

    def settle(self) -> bool:
        """See `Sink`."""
        if not self._unsettled:
            return True
        try:
            self._settle_left()
            if self._descriptor >= 0:
                os.fdatasync(self._descriptor)
            if self._unnamed:
                _settle_folder(self._folder)
        except OSError as error:
            self.problem = f"the spool cannot be put on the disk: {error.strerror}"
            return False
        self._unsettled = self._unnamed = False
        return True

    def look(self) -> None:
        """Remove the segments that all sinks have acknowledged."""
        if self.problem is not None:
            self._finish()  # on a full disk, removing delivered segments makes room
        done = self.acknowledged()
        for segment in self._segments[:-1]:
            following = self.after(segment)
            if following is None or following.first > done:
                return
            self._remove(segment)
            self._dropping = False
        if self._segments and self._segments[-1].closed and done >= self.end:
            self._remove(self._segments[-1])

    def start(self) -> None:
        """See `Sink`."""

    def reopen(self) -> None:
        """See `Sink`: nothing to do, since no other program uses the folder."""

    def close(self, *, keep_lock: bool = False) -> None:
        """See `Sink`. Afterwards, or at the latest when the process ends, the folder is
        unlocked."""
        self._finish()
        if not self.settle():
            _log.error("the spool is not on the disk", extra={"problem": self.problem})
        for descriptor in self._left:
            os.close(descriptor)
        if not keep_lock:
            os.close(self._lock)


def _locked(folder: Path) -> int:
    descriptor = os.open(folder / "lock", os.O_CREAT | os.O_RDWR, 0o640)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        os.close(descriptor)
        raise
    return descriptor


def _settle_folder(folder: Path) -> None:
    """Sync a folder to disk, so that its file names survive a crash."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
