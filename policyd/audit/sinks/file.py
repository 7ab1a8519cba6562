"""A file as a sink. Several processes may append to it, and it or other programs may rotate it.

The file is reopened when its path leads to another file or to none, as after logrotate's `create`,
and on request (SIGHUP). If it cannot be reopened, records go to the open file until it can, as long
as that file still has a name.

Invariants: each write begins at the start of a line and ends at the end of one. A partial line is
removed again, or ended with a line feed if it cannot be removed, so that it never damages the next
record; the same holds for a partial line that a crash of this or another process left. To recognise
and remove only its own bytes, a write holds the file's lock (flock(2)).
"""

from __future__ import annotations

import fcntl
import logging
import os
import stat
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

from policyd.audit.sinks.rotation import Rotator

_log = logging.getLogger(__name__)
#: Seconds for which the path may be missing before a file is created: a program that rotates by
#: renaming creates the next file itself a moment later, with its own choice of owner and mode.
_GRACE: Final = 1.0
#: How often, and after how many seconds, the lock is tried again. Others hold it for one write.
_TRIES, _PAUSE = 200, 0.001
_MODE: Final = 0o640


class FileSink:
    """Appends to a file. `clock` is monotonic, in seconds."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        pause: Callable[[float], None] = time.sleep,
        *,
        rotator: Rotator | None = None,
    ) -> None:
        """Open the file; `rotator` rotates it.

        Raises:
            OSError: the file cannot be opened.
        """
        self._path = path
        self._clock = clock
        self._pause = pause
        self._rotator = rotator
        self._nowhere_since: float | None = None
        self._misplaced: str | None = None
        self._failure: str | None = None
        self._unsettled = False
        self._use(_open(path))

    @property
    def problem(self) -> str | None:
        """See `Sink`."""
        return self._failure or self._misplaced

    def start(self) -> None:
        """See `Sink`."""

    def write(self, data: bytes) -> int:
        """See `Sink`. Only whole lines are taken."""
        if not self._is_found() and not self._reopened():
            self._failure = "the file was removed, and cannot be created again"
            return 0
        try:
            with self._locked() as alone:
                if not self._rotated(len(data)):
                    return self._append(data, alone)
            with self._locked() as alone:
                return self._append(data, alone)
        except OSError as error:
            self._failure = f"the file cannot be written: {error.strerror}"
            return 0

    def _rotated(self, more: int) -> bool:
        """Rotate the file before it gets that many more bytes, if that is due; return whether it
        was rotated."""
        rotator = self._rotator
        if rotator is None or not self._regular or not self._is_at_path():
            return False
        if not rotator.is_due(os.fstat(self._descriptor).st_size, more):
            return False
        try:
            rotator.rotate()
        except OSError as error:
            problem = f"it cannot be rotated, and goes on: {error.strerror}"
            if self._misplaced != problem:
                _log.error("the decision log cannot be rotated", extra={"error": str(error)})
            self._misplaced = problem
            return False
        return self._reopened()

    def _append(self, data: bytes, alone: bool) -> int:
        if self._ends_within_a_line():
            os.write(self._descriptor, b"\n")
        self._ragged = False
        before = os.fstat(self._descriptor).st_size
        self._unsettled = True
        written, error = _write(self._descriptor, data)
        if error is None:
            self._failure = None
            return written if self._is_found() else 0
        self._failure = f"the file cannot be written: {error.strerror}"
        whole = data.rfind(b"\n", 0, written) + 1
        if whole < written:
            if alone and os.fstat(self._descriptor).st_size == before + written:
                os.ftruncate(self._descriptor, before + whole)
            else:
                self._ragged = True
        return whole

    def settle(self) -> bool:
        """See `Sink`."""
        if not self._unsettled or not self._regular:
            return True
        try:
            os.fdatasync(self._descriptor)
        except OSError as error:
            self._failure = f"the file cannot be put on the disk: {error.strerror}"
            return False
        self._unsettled = False
        return True

    def _ends_within_a_line(self) -> bool:
        if not self._readable:
            return self._ragged
        size = os.fstat(self._descriptor).st_size
        return size > 0 and os.pread(self._descriptor, 1, size - 1) != b"\n"

    def _is_found(self) -> bool:
        """Return whether the file still has a name. Records in a file without a name are lost."""
        return not self._regular or os.fstat(self._descriptor).st_nlink > 0

    @contextmanager
    def _locked(self) -> Iterator[bool]:
        """Lock out other policyd processes meanwhile; yield whether that succeeded."""
        alone = self._regular and self._lock()
        try:
            yield alone
        finally:
            if alone:
                fcntl.flock(self._descriptor, fcntl.LOCK_UN)

    def _lock(self) -> bool:
        """Take the lock. Without it, records are written too, but nothing is truncated."""
        for _ in range(_TRIES):
            try:
                fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                self._pause(_PAUSE)
            except OSError:  # a file system without locks
                return False
            else:
                return True
        return False

    def _is_at_path(self) -> bool:
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def look(self) -> None:
        """See `Sink`."""
        try:
            at_path: os.stat_result | None = self._path.stat()
        except OSError:
            at_path = None
        if at_path is not None:
            self._nowhere_since = None
            if (at_path.st_dev, at_path.st_ino) != self._identity or self._misplaced is not None:
                self.reopen()
            return
        now = self._clock()
        if self._nowhere_since is None:
            self._nowhere_since = now
        if now - self._nowhere_since >= _GRACE or not self._is_found():
            self.reopen()

    def reopen(self) -> None:
        """See `Sink`."""
        self._reopened()

    def _reopened(self) -> bool:
        try:
            descriptor = _open(self._path)
        except OSError as error:
            problem = f"its path cannot be opened, so the old file goes on: {error.strerror}"
            if self._misplaced != problem:
                _log.error("the decision log cannot be reopened", extra={"error": str(error)})
            self._misplaced = problem
            return False
        self.settle()  # the old file is complete
        os.close(self._descriptor)
        self._use(descriptor)
        self._misplaced = self._nowhere_since = None
        _log.info("the decision log was reopened", extra={"path": str(self._path)})
        return True

    def _use(self, descriptor: int) -> None:
        self._descriptor = descriptor
        found = os.fstat(descriptor)
        self._identity = (found.st_dev, found.st_ino)
        self._regular = stat.S_ISREG(found.st_mode)
        access = fcntl.fcntl(descriptor, fcntl.F_GETFL) & os.O_ACCMODE
        self._readable = self._regular and access == os.O_RDWR
        self._ragged = False
        if self._rotator is not None and self._regular:
            self._rotator.opened(descriptor)

    def close(self) -> None:
        """See `Sink`."""
        os.close(self._descriptor)


def _open(path: Path) -> int:
    flags = os.O_CREAT | os.O_APPEND
    try:
        return os.open(path, flags | os.O_RDWR, _MODE)
    except PermissionError:  # the file may not be readable
        return os.open(path, flags | os.O_WRONLY, _MODE)


def _write(descriptor: int, data: bytes) -> tuple[int, OSError | None]:
    """Write; return the number of bytes written, and the error that stopped the rest."""
    view = memoryview(data)
    while view:
        try:
            view = view[os.write(descriptor, view) :]
        except OSError as error:
            return len(data) - len(view), error
    return len(data), None
