"""Revocations from a file, a line each.

The file is the list: an added line revokes, and removing a line lifts its revocation. The last line
says how many there are. `policyd revoke`, people and Kubernetes replace the whole file.

Invariants: the result is one complete state of the file: a file without that last line was emptied
or cut off, and is rejected. A file with an error, or a missing file, changes nothing: the last
valid list stays in force and its age grows. When lines are added, the earlier ones are not parsed
again.
"""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from io import FileIO
from pathlib import Path
from shlex import quote
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
from policyd.sources.revocations.wire import End, encode, encode_end, find_end, read_lines
from policyd.sources.watching import keep_looking
from policyd.tokens.revocation.model import Revocation
from policyd.tokens.revocation.revocation_list import has_ended

_LARGEST: Final = 256 * 1024 * 1024
_ATTEMPTS: Final = 5
_SETTLE: Final = 0.05
#: A file system may give two changes the same time, so a file younger than this is read again.
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
        # The number of bytes of the entries in the list, whose digest is `_digest`, and of the
        # entries.
        self._parsed = self._count = 0
        self._stop = Event()
        self._thread = Thread(target=self._run, name="revocation-file", daemon=True)

    @property
    def status(self) -> SourceStatus:
        """The state of the source."""
        return self._status

    def start(self) -> None:
        """Read the file, and read it again after each change."""
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
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
            RevocationsInvalid: the file has errors. RevocationsUnreadable: it cannot be read, or is
            being written. ListMissing: there is no file.
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
        end = _end(self._path, data)
        entries, known = data[: end.at], self._parsed
        grew = self._digest is not None and sha256(entries[:known]).digest() == self._digest
        if not grew:
            known, self._count, self._digest = 0, 0, None
        read = read_lines(self._path.name, entries, known)
        if read.diagnostics:
            raise RevocationsInvalid(read.diagnostics)
        count = self._count + len(read.revocations)
        _check_count(self._path, end, count)
        if grew and len(entries) == known:
            return
        now = self._clock()
        in_force = [one for one in read.revocations if not has_ended(one, now)]
        if grew:
            self._status.revocations.add(in_force)
        else:
            self._status.revocations.replace(in_force)
        self._parsed, self._digest, self._count = len(entries), sha256(entries).digest(), count
        self._status.changed()


def _end(path: Path, data: bytes) -> End:
    """Return the last line.

    Raises `RevocationsUnreadable` if there is none, or `RevocationsInvalid` if other lines are
    invalid too.
    """
    if len(data) > _LARGEST:
        raise RevocationsUnreadable(f"{path} has more than {_LARGEST} bytes")
    end = find_end(data)
    if end is None:
        read = read_lines(path.name, data)
        if read.diagnostics:
            raise RevocationsInvalid(read.diagnostics)
        file = quote(str(path))
        ended = f"echo >>{file}; " if data and not data.endswith(b"\n") else ""
        last = encode_end(len(read.revocations)).decode().strip()
        raise RevocationsUnreadable(
            f"{path} does not end in the line that says how many revocations it has, so that it "
            "may have been emptied or cut off. If it is whole, add the line: "
            f"`{ended}echo {quote(last)} >>{file}`"
        )
    return end


def _check_count(path: Path, end: End, count: int) -> None:
    if end.count != count:
        raise RevocationsUnreadable(
            f"{path} ends in a line that tells of {end.count} revocations, and holds {count}: "
            "restore it, or, if it is whole, correct the number in its last line"
        )


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
            file.write(encode_end(0))
            file.flush()
            os.fsync(file.fileno())
        _sync(path.parent)
    except FileExistsError:
        raise ListExists(f"{path} is there already") from None
    except OSError as error:
        raise RevocationsUnwritable(f"{path}: {error.strerror}") from None


def append(
    path: Path, revocation: Revocation, pause: Callable[[float], object] = time.sleep
) -> None:
    """Replace the file by one with a further revocation. When this returns, it is on the disk.

    Several processes may do so at once; `pause(seconds)` waits for another to finish.

    Raises:
        ListMissing: there is no file. RevocationsInvalid: it has errors, so no daemon would read
        it. RevocationsUnreadable: it may be incomplete, so no daemon would read it.
        RevocationsUnwritable: it cannot be written; nothing was changed.
    """
    try:
        target = path.resolve()
        with _locked(target, pause) as file:
            data = file.read()
            end = _end(path, data)
            read = read_lines(path.name, data[: end.at])
            if read.diagnostics:
                raise RevocationsInvalid(read.diagnostics)
            count = len(read.revocations)
            _check_count(path, end, count)
            entries = data[: end.at] + encode(revocation) + b"\n"
            _replace(target, entries + encode_end(count + 1), os.fstat(file.fileno()))
    except FileNotFoundError:
        raise _missing(path) from None
    except OSError as error:
        raise RevocationsUnwritable(f"{path}: {error.strerror}") from None


@contextmanager
def _locked(path: Path, pause: Callable[[float], object]) -> Iterator[FileIO]:
    """Open and lock the file at `path`, and make sure that it was not replaced in the meantime."""
    for _ in range(_LOCK_ATTEMPTS):
        with FileIO(path, "rb") as file:
            _lock(file, path, pause)
            if os.path.samestat(os.fstat(file.fileno()), path.stat()):
                yield file
                return
    raise RevocationsUnwritable(f"other processes keep replacing {path}")


def _lock(file: FileIO, path: Path, pause: Callable[[float], object]) -> None:
    for _ in range(_LOCK_ATTEMPTS):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            pause(_SETTLE)
        else:
            return
    raise RevocationsUnwritable(f"another process keeps {path} locked")


def _replace(path: Path, data: bytes, before: os.stat_result) -> None:
    """Replace a file atomically by `data`; it keeps its owner and mode."""
    new = _written(path, data, stat.S_IMODE(before.st_mode))
    try:
        if (before.st_uid, before.st_gid) != (os.geteuid(), os.getegid()):
            os.chown(new, before.st_uid, before.st_gid)
        new.replace(path)
    except OSError:
        new.unlink(missing_ok=True)
        raise
    _sync(path.parent)


def _written(path: Path, data: bytes, mode: int) -> Path:
    """Write `data` to a file beside `path`, sync it, and return its name."""
    descriptor, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            os.fchmod(descriptor, mode)
            file.write(data)
            file.flush()
            os.fsync(descriptor)
    except OSError:
        Path(name).unlink()
        raise
    return Path(name)


def _sync(folder: Path) -> None:
    """Sync the names in a folder to the disk."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
