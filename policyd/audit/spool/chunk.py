"""The chunks of a segment: a head with the number of lines and checksums, and then the lines.

A head has 28 bytes, little-endian: a mark, the number of the first record (8 bytes), the number of
records (4), the length of the lines in bytes (4), their checksum (4), and the checksum of the head
so far (4). The mark is not valid UTF-8, so no line contains it. After damage, it is used to find
the next chunk.

The checksum is zlib's CRC-32. For chunks of this size, CRC-32C is no better (each misses one damage
in 2^32), and would be one more compiled dependency of every installation.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from typing import Final
from zlib import crc32

import msgspec

_HEAD: Final = struct.Struct("<4sQIII")
_SUM: Final = struct.Struct("<I")
_MARK: Final = b"\xff\xfePD"
HEAD_BYTES: Final = _HEAD.size + _SUM.size


class Chunk(msgspec.Struct, frozen=True):
    """An undamaged chunk. `first` is the number of its first record, `at` and `end` are offsets."""

    first: int
    records: int
    lines: bytes
    at: int
    end: int

    @property
    def next(self) -> int:
        """The number of the record after its last one."""
        return self.first + self.records


class _Head(msgspec.Struct, frozen=True):
    first: int
    records: int
    length: int
    checksum: int


def head(first: int, records: int, lines: bytes | memoryview) -> bytes:
    """Return the head of a chunk whose first line is record number `first`."""
    made = _HEAD.pack(_MARK, first, records, len(lines), crc32(lines))
    return made + _SUM.pack(crc32(made))


def chunk_at(descriptor: int, at: int, end: int) -> Chunk | None:
    """Return the chunk that begins at an offset and ends before another offset, if it is
    undamaged."""
    found = _read_head(os.pread(descriptor, HEAD_BYTES, at))
    if found is None or at + HEAD_BYTES + found.length > end:
        return None
    lines = os.pread(descriptor, found.length, at + HEAD_BYTES)
    if len(lines) != found.length or crc32(lines) != found.checksum:
        return None
    return Chunk(found.first, found.records, lines, at, at + HEAD_BYTES + found.length)


def next_chunk(descriptor: int, at: int, end: int) -> Chunk | None:
    """Return the first undamaged chunk at an offset or after it."""
    chunk = chunk_at(descriptor, at, end)
    if chunk is not None:
        return chunk
    for later in _marks(descriptor, at + 1, end) if at < end else ():
        chunk = chunk_at(descriptor, later, end)
        if chunk is not None:
            return chunk
    return None


def _marks(descriptor: int, at: int, end: int) -> Iterator[int]:
    """Yield the offsets of all marks."""
    rest = os.pread(descriptor, end - at, at)
    found = rest.find(_MARK)
    while found >= 0:
        yield at + found
        found = rest.find(_MARK, found + 1)


def end_after(descriptor: int, at: int, end: int, number: int) -> int:
    """Return the number after the last record, if record `number` should be at `at` and no
    undamaged chunk follows.

    An undamaged head says it. Otherwise the remaining line feeds are counted, and at least one
    record, because something was there.
    """
    rest = os.pread(descriptor, end - at, at)
    found = _read_head(rest[:HEAD_BYTES])
    if found is not None and found.first >= number:
        return found.first + found.records
    return number + max(1, rest.count(b"\n"))


def _read_head(data: bytes) -> _Head | None:
    if len(data) < HEAD_BYTES or not data.startswith(_MARK):
        return None
    if _SUM.unpack_from(data, _HEAD.size)[0] != crc32(data[: _HEAD.size]):
        return None
    _, first, records, length, checksum = _HEAD.unpack_from(data)
    return _Head(first, records, length, checksum)
