"""Reading a snapshot of the list in Redis, piece by piece.

The text of a snapshot never changes under its name. So pieces that were read at different times,
over different connections too, make one snapshot as long as all of them say the same edition; when
a piece says another one, reading begins at the start of that. What was read of the old one stays
true, since entries only ever add, but only an edition that was read to its end counts as read.
"""

from __future__ import annotations

from policyd.sources.revocations.redis import PIECE, Edition, RedisList


class SnapshotReading:
    """A snapshot that is being read, in pieces of `size` bytes. For one thread."""

    def __init__(self, size: int = PIECE) -> None:
        self._size = size
        self._offset = 0
        self._length = 0
        self._rest = b""  # the line that the next piece continues
        self.edition: Edition | None = None
        #: Whether the last piece was the first of its edition, and whether it was the last.
        self.begun = False
        self.complete = False

    @property
    def left(self) -> int:
        """How many pieces are still to be read."""
        return -(-(self._length - self._offset) // self._size)

    def next(self, source: RedisList) -> list[bytes]:
        """Read a piece, and return the lines that end in it."""
        piece = source.piece(self._offset, self._size)
        if (piece.edition, piece.length) != (self.edition, self._length):
            if self._offset:
                piece = source.piece(0, self._size)
            self.edition, self._length = piece.edition, piece.length
            self._offset, self._rest = 0, b""
        self.begun = self._offset == 0
        self._offset += len(piece.text)
        self.complete = self._offset >= self._length
        *lines, self._rest = (self._rest + piece.text).split(b"\n")
        return [*lines, self._rest] if self.complete else lines
