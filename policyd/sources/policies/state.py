"""The state that survives a restart: the policy sets that served last, and which one serves.

A folder on disk:

- `sets/DIGEST.json`: a set, with the bytes of its files, its origin, and the time of its
  activation;
- `active.json`: which set serves, and the commit that must not be activated again by itself;
- `journal.ndjson`: the outcome of every set (`policyd.sources.policies.journal`).

Invariants: every file is replaced atomically (written, synced, renamed), and a set is written
before the file that names it. So after a crash at any time, the next start reads one complete set.
A set whose bytes do not match its digest is ignored. The newest ten sets are kept. Several
processes may share the folder.
"""

from __future__ import annotations

import fcntl
import hashlib
import logging
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import msgspec

from policyd.errors import PolicydError
from policyd.regular_file import read_regular
from policyd.sources.policies.directory import BYTES, Content, files_of
from policyd.sources.policies.journal import JOURNAL, Entry, append, entries
from policyd.sources.policies.model import PolicyFiles, Provenance

_log = logging.getLogger(__name__)
KEPT: Final = 10
_ACTIVE: Final = "active.json"
_SETS: Final = "sets"
_FORMAT: Final = 1
#: Base64 and the rest take less than twice the bytes.
_LIMIT: Final = 2 * BYTES
_FOLDER_MODE: Final = 0o700


class StateUnusable(PolicydError):
    """The folder cannot be read or written, or its contents are malformed."""


class StoredFile(msgspec.Struct, frozen=True):
    """A file: its path below the root, and its bytes."""

    name: str
    data: bytes


class StoredSet(msgspec.Struct, frozen=True):
    """A set that served; `activated` is when it was activated, in seconds since the epoch.

    `revision` is its name in answers. `digest` is the SHA-256 of names and bytes.
    """

    format: int
    digest: str
    revision: str
    activated: float
    provenance: Provenance
    files: tuple[StoredFile, ...]

    def policy_files(self) -> PolicyFiles:
        """Return the set in the form in which sources return one."""
        contents = [Content(one.name, one.data) for one in self.files]
        return files_of(contents, [], None, self.provenance, with_tests=True)


class Active(msgspec.Struct, frozen=True):
    """Which set serves. `passed_over` is the commit that the ref named when an operator activated
    another one: it is not activated again by itself."""

    format: int
    digest: str
    revision: str
    provenance: Provenance
    passed_over: str = ""


class StateFolder:
    """The folder at `path`, which is created at the first write."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        """`clock` gives seconds since the epoch."""
        self.path = path
        self._clock = clock

    def remember(self, files: PolicyFiles, revision: str, passed_over: str = "") -> None:
        """Store a set that serves from now on. Raises `StateUnusable`.

        If the same set served before, its `passed_over` is kept.
        """
        stored = tuple(
            StoredFile(one.name, one.text.encode()) for one in (*files.sources, *files.tests)
        )
        digest = _digest(stored, files.provenance)
        kept = StoredSet(_FORMAT, digest, revision, self._clock(), files.provenance, stored)
        with _usable(self.path), self._alone():
            passed_over = passed_over or self._passed_over(digest)
            active = Active(_FORMAT, digest, revision, files.provenance, passed_over)
            _write(self.path / _SETS / f"{digest}.json", msgspec.json.encode(kept))
            _write(self.path / _ACTIVE, msgspec.json.encode(active))
            self._prune(digest)

    def active(self) -> Active | None:
        """Return which set serves, `None` if none has served. Raises `StateUnusable`."""
        try:
            data = read_regular(self.path / _ACTIVE, _LIMIT)
            return msgspec.json.decode(data, type=Active)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except (OSError, msgspec.DecodeError) as error:
            raise _unusable(self.path / _ACTIVE, error) from None

    def last(self) -> StoredSet | None:
        """Return the set that served last, `None` if there is none. Raises `StateUnusable`."""
        active = self.active()
        return None if active is None else self._read(self.path / _SETS / f"{active.digest}.json")

    def find(self, name: str) -> StoredSet | None:
        """Return the newest stored set whose revision or commit begins with `name`, or that is the
        bundle `name`, if there is one.

        Raises `StateUnusable`.
        """
        found = [one for one in self.kept() if _is_named(one, name)]
        return max(found, key=lambda one: one.activated, default=None)

    def kept(self) -> Iterator[StoredSet]:
        """Yield the stored sets, in no particular order. Raises `StateUnusable`."""
        for path in self._sets():
            try:
                stored = self._read(path)
            except StateUnusable as error:  # another one may be asked for
                _log.warning("a stored set is damaged", extra={"error": str(error)})
            else:
                yield stored

    def confirm(self) -> None:
        """Note that the source answered now, and that the active set is still current."""
        now = self._clock()
        with _usable(self.path):
            os.utime(self.path / _ACTIVE, (now, now))

    def confirmed_at(self) -> float | None:
        """Return when the source last answered, in seconds since the epoch."""
        try:
            return (self.path / _ACTIVE).stat().st_mtime
        except OSError:
            return None

    def record(self, entry: Entry) -> None:
        """Append to the journal. Raises `StateUnusable`."""
        with _usable(self.path), self._alone():
            append(self.path / JOURNAL, entry)

    def journal(self, most: int) -> list[Entry]:
        """Return the newest entries of the journal, newest first. Raises `StateUnusable`."""
        with _usable(self.path):
            return entries(self.path / JOURNAL, most)

    def _passed_over(self, digest: str) -> str:
        try:
            before = self.active()
        except StateUnusable:  # it is replaced
            return ""
        return before.passed_over if before is not None and before.digest == digest else ""

    def _sets(self) -> list[Path]:
        try:
            return [one for one in (self.path / _SETS).iterdir() if one.suffix == ".json"]
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise _unusable(self.path / _SETS, error) from None

    def _read(self, path: Path) -> StoredSet:
        try:
            stored = msgspec.json.decode(read_regular(path, _LIMIT), type=StoredSet)
        except (OSError, msgspec.DecodeError) as error:
            raise _unusable(path, error) from None
        if stored.format != _FORMAT or stored.digest != _digest(stored.files, stored.provenance):
            raise StateUnusable(f"{path} does not hold the set that its name says")
        return stored

    def _prune(self, active: str) -> None:
        """Remove all but the newest sets, and the temporary files of ended processes."""
        paths = sorted(self._sets(), key=lambda one: one.stat().st_mtime, reverse=True)
        for path in paths[KEPT:]:
            if path.stem != active:
                path.unlink(missing_ok=True)
        for folder in (self.path, self.path / _SETS):
            for path in folder.glob("*.new"):
                path.unlink(missing_ok=True)

    @contextmanager
    def _alone(self) -> Iterator[None]:
        """Hold the folder's lock, so that no other process writes."""
        self.path.mkdir(mode=_FOLDER_MODE, parents=True, exist_ok=True)
        (self.path / _SETS).mkdir(mode=_FOLDER_MODE, exist_ok=True)
        descriptor = os.open(self.path, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield
        finally:
            os.close(descriptor)


def _is_named(stored: StoredSet, name: str) -> bool:
    where = stored.provenance
    begins = stored.revision.startswith(name) or where.commit.startswith(name)
    return bool(name) and (begins or where.label == name)


def _digest(files: tuple[StoredFile, ...], provenance: Provenance) -> str:
    return hashlib.sha256(msgspec.json.encode([files, provenance])).hexdigest()


def _write(path: Path, data: bytes) -> None:
    """Replace a file atomically: write a new one, sync it, rename it, and sync the folder."""
    new = path.with_suffix(".new")
    descriptor = os.open(new, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())
    new.replace(path)
    folder = os.open(path.parent, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(folder)
    finally:
        os.close(folder)


@contextmanager
def _usable(path: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise _unusable(path, error) from None


def _unusable(path: Path, error: Exception) -> StateUnusable:
    why = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return StateUnusable(f"the state folder cannot be used: {path}: {why}")
