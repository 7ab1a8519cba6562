"""Revocations from a file, a line each.

The file is the list: an added line revokes, and removing a line lifts its revocation. `policyd
revoke` appends; people and Kubernetes replace the whole file.

Invariants: the result is one state of the file. A file with an error, or a missing file, changes
nothing: the last valid list stays in force and its age grows. When lines are appended, the earlier
ones are not parsed again.
"""

from __future__ import annotations

import fcntl
import os
import time
from collections.abc import Callable
from hashlib import sha256
from io import FileIO
from pathlib import Path
from threading import Event, Thread
from typing import BinaryIO, Final

from policyd.diagnostics.render import Format, render
from policyd.regular_file import open_regular
from policyd.sources.revocations.errors import (
    ListExists,
    ListMissing,
    RevocationsInvalid,
    RevocationsUnreadable,
    RevocationsUnwritable,
)
from policyd.sources.revocations.status import SourceStatus, TimeOfDay
from policyd.sources.revocations.wire import encode, read_lines
from policyd.sources.watching import keep_looking
from policyd.tokens.revocation.model import Revocation
from policyd.tokens.revocation.revocation_list import has_ended

_LARGEST: Final = 256 * 1024 * 1024
_ATTEMPTS: Final = 5
_SETTLE: Final = 0.05
#: A file system may give two changes one time; a file younger than this is read again.
_RACY: Final = 2.0
_LOCK_ATTEMPTS: Final = 100

Stamp = tuple[int, int, int, int]


class RevocationFile:
    """Keeps a list equal to the file at `path`. `clock` is in seconds since the epoch."""

    def __init__(
        self, path: Path, status: SourceStatus, clock: Callable[[], float] = time.time
    ) -> None:
        self._path = path
        self._status = status
        self._clock = TimeOfDay(clock)
        self._stamp: Stamp | None = None
        self._digest: bytes | None = None
        self._parsed = 0  # bytes of whole lines that the list holds, of which `_digest` is
        self._stop = Event()
        self._thread = Thread(target=self._run, name="revocation-file", daemon=True)

    @property
    def status(self) -> SourceStatus:
        """How the list stands."""
        return self._status

    def start(self) -> None:
        """Read the file, and go on whenever it changes."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        # The folder, not the file: files are replaced, and Kubernetes swaps a link beside it.
        folder = self._path.parent
        keep_looking(lambda: (folder,), self.look, self._stop, what="the revocations")

    def look(self) -> None:
        """Look once whether the file changed."""
        if self._clock.was_set_back():
            self._stamp = self._digest = None
        try:
            self._read()
        except (RevocationsUnreadable, ListMissing) as error:
            self._stamp = None
            self._status.failed(str(error))
            return
        except RevocationsInvalid as error:
            self._stamp = None
            lines = render(error.diagnostics, Format.CONCISE).splitlines()
            self._status.failed(str(error), lines=lines, findings=render(error.diagnostics))
            return
        self._status.revocations.forget(self._clock())
        self._status.current()

    def _read(self) -> None:
        """Bring the list up to date.

        Raises:
            RevocationsInvalid: the file has errors.
            RevocationsUnreadable: it cannot be read, or is not at rest.
            ListMissing: there is none.
        """
        for _ in range(_ATTEMPTS):
            try:
                with open_regular(self._path) as file:
                    stamp = _stamp(file)
                    if stamp == self._stamp:
                        return
                    data = file.read(_LARGEST + 1)
                    still = _stamp(file) == stamp
            except FileNotFoundError:
                raise _missing(self._path) from None
            except OSError as error:
                raise RevocationsUnreadable(f"{self._path}: {error.strerror}") from None
            if still:
                self._take(data)
                is_young = self._clock() - stamp[3] / 1e9 < _RACY
                self._stamp = None if is_young else stamp
                return
            self._stop.wait(_SETTLE)
        raise RevocationsUnreadable(f"{self._path} keeps changing")

    def _take(self, data: bytes) -> None:
        if len(data) > _LARGEST:
            raise RevocationsUnreadable(f"{self._path} has more than {_LARGEST} bytes")
        known = self._parsed
        grew = self._digest is not None and sha256(data[:known]).digest() == self._digest
        if grew and len(data) == known:
            return
        read = read_lines(self._path.name, data, known if grew else 0)
        if read.diagnostics:
            raise RevocationsInvalid(read.diagnostics)
        now = self._clock()
        entries = [one for one in read.revocations if not has_ended(one, now)]
        if grew:
            self._status.revocations.add(entries)
        else:
            self._status.revocations.replace(entries)
        # A last line without its end may go on: then the file is read from its beginning.
        whole = data.endswith(b"\n") or not data
        self._parsed, self._digest = len(data), sha256(data).digest() if whole else None
        self._status.changed()


def _stamp(file: BinaryIO) -> Stamp:
    found = os.fstat(file.fileno())
    return (found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


def _missing(path: Path) -> ListMissing:
    return ListMissing(f"{path}: there is no such file; `policyd revoke --create` makes one")


def create(path: Path) -> None:
    """Make an empty list.

    Raises:
        ListExists: there is a file already.
        RevocationsUnwritable: it cannot be made.
    """
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o640), "wb") as file:
            os.fsync(file.fileno())
        folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY)
        try:
            os.fsync(folder)
        finally:
            os.close(folder)
    except FileExistsError:
        raise ListExists(f"{path} is there already") from None
    except OSError as error:
        raise RevocationsUnwritable(f"{path}: {error.strerror}") from None


def append(
    path: Path, revocation: Revocation, pause: Callable[[float], object] = time.sleep
) -> None:
    """Write a revocation at the end of the file; it is on the disk when this returns.

    Several processes may do so at once; `pause(seconds)` waits for another to finish.

    Raises:
        ListMissing: there is no file.
        RevocationsInvalid: it has errors, so that no daemon would read it.
        RevocationsUnwritable: it cannot be written; then nothing was.
    """
    try:
        opened = os.open(path, os.O_RDWR | os.O_APPEND | os.O_CLOEXEC)
        with os.fdopen(opened, "r+b", buffering=0) as file:
            _lock(file, path, pause)
            if not os.path.samestat(os.fstat(opened), path.stat()):
                raise RevocationsUnwritable(f"{path} was replaced in the meantime; try again")
            data = file.read()
            read = read_lines(path.name, data)
            if read.diagnostics:
                raise RevocationsInvalid(read.diagnostics)
            line_break = b"" if data.endswith(b"\n") or not data else b"\n"
            _write(file, line_break + encode(revocation) + b"\n", len(data))
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise RevocationsUnwritable(f"{path}: {error.strerror}") from None


def _lock(file: FileIO, path: Path, pause: Callable[[float], object]) -> None:
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause(_SETTLE)
        else:
            return
    raise RevocationsUnwritable(f"another process keeps {path} locked")


def _write(file: FileIO, data: bytes, end: int) -> None:
    try:
        written = file.write(data)
        if written != len(data):
            raise OSError(28, "the disk is full")
        os.fsync(file.fileno())
    except OSError:
        file.truncate(end)
        raise
