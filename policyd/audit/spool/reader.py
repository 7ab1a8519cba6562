"""Reads a spool from a given record on, while it is written.

The output is batches: consecutive records, after a number of missing ones. Missing records were
removed to make room, or damaged. Their number is exact, because records are numbered.
"""

from __future__ import annotations

import os
from collections import deque

import msgspec

from policyd.audit.spool.chunk import Chunk, next_chunk
from policyd.audit.spool.segment import Segment
from policyd.audit.spool.spool import Spool


class Batch(msgspec.Struct, frozen=True):
    """`records` are lines without line feeds, and `missing` is the number of records missing before
    the first."""

    missing: int
    records: list[bytes]

    def __bool__(self) -> bool:
        return bool(self.missing or self.records)


class Reader:
    """Reads for one sink. `position` is the number of the next record. Used by one thread."""

    def __init__(self, spool: Spool, position: int) -> None:
        self._spool = spool
        self.position = position
        #: Bytes from which no record can be read.
        self.damaged = 0
        self._waiting: deque[bytes] = deque()  # records at `position`, after `_missing` is told
        self._missing = 0
        self._segment: Segment | None = None
        self._descriptor = -1
        self._at = 0

    def read(self, records: int, size: int) -> Batch:
        """Return the next batch, of at most that many records and about that many bytes.

        It is empty if there is nothing new. Raises `OSError`; the next call then continues at the
        same record.
        """
        if not self._waiting and not self._missing:
            self._fill()
        missing, self._missing = self._missing, 0
        self.position += missing
        taken: list[bytes] = []
        length = 0
        while len(taken) < records and length < size:
            if not self._waiting:
                if self._missing:
                    break
                self._fill()
                if not self._waiting or self._missing:
                    break
            taken.append(self._waiting.popleft())
            length += len(taken[-1])
            self.position += 1
        return Batch(missing, taken)

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _fill(self) -> None:
        """Read one more chunk with records from `position` on, or learn that some are missing."""
        while True:
            chunk = self._chunk()
            if chunk is None:
                if self._missing or not self._move():
                    return
                continue
            lines = chunk.lines.split(b"\n")[:-1]
            if not self._belongs(chunk, lines):
                self.damaged += chunk.end - chunk.at
                continue
            if chunk.first > self.position:
                self._missing = chunk.first - self.position
            lines = lines[max(0, self.position - chunk.first) :]
            if lines:
                self._waiting.extend(lines)
                return

    def _belongs(self, chunk: Chunk, lines: list[bytes]) -> bool:
        """Return whether a chunk fits into its segment, and has as many lines as its head says."""
        segment = self._segment
        assert segment is not None
        after = self._spool.after(segment)
        ends = after is None or chunk.next <= after.first
        return chunk.first >= segment.first and ends and len(lines) == chunk.records

    def _chunk(self) -> Chunk | None:
        segment = self._segment
        if segment is None:
            return None
        size = segment.size
        if self._at >= size:
            return None
        chunk = next_chunk(self._descriptor, self._at, size)
        found = size if chunk is None else chunk.at
        self.damaged += found - self._at
        self._at = size if chunk is None else chunk.end
        return chunk

    def _move(self) -> bool:
        """Go to the next segment, if this one is finished; return whether there is more to read."""
        segment = self._segment
        if segment is not None and (not segment.closed or self._at < segment.size):
            return segment.closed
        end = self._spool.end  # read this before the segments: a record in none of them is lost
        following = self._spool.after(segment, self.position)
        if following is None:
            self.close()  # a removed file occupies the disk as long as it is open
            self._missing = max(0, end - self.position)
            return False
        self._open(following)
        if following.first > self.position:
            self._missing = following.first - self.position
            return False
        return True

    def _open(self, segment: Segment) -> None:
        descriptor = segment.open()
        self.close()
        self._segment, self._descriptor, self._at = segment, descriptor, 0
