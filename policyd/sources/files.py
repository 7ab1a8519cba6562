"""Policies from a directory: what its files hold, and when that changes.

In comes a directory, out go `PolicyFiles`: every `*.policy` file below it but `*_test.policy`, by
its path from there. Hidden files and directories are left out, symbolic links are followed, so that
a Kubernetes volume, which hides its versions and swaps a link named `..data`, is read as what its
visible links lead to.

Invariants: what is read is one state of the directory, not a mixture of two (the files' stamps are
equal before and after). Whether something changed is decided by bytes: a file that is touched or
written again unchanged is no change.
"""

from __future__ import annotations

import hashlib
import os
import stat
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import msgspec

from policyd.diagnostics import Diagnostic, Source
from policyd.errors import PolicydError
from policyd.language.text import Read
from policyd.language.text import read as read_text
from policyd.sources.watching import keep_looking

_SUFFIX = ".policy"
_TEST_SUFFIX = "_test.policy"
_ATTEMPTS = 20
_SETTLE = 0.05

Stamp = tuple[str, int, int, int, int]


class PoliciesUnreadable(PolicydError):
    """The directory, or a file in it, cannot be read, or it never stood still."""


class PolicyFiles(msgspec.Struct, frozen=True):
    """One state of a directory. `digest` stands for the names and bytes of its files.

    `diagnostics` are the findings about bytes that are no policy text; where they are errors, the
    sources are fit to be shown but not to be loaded.
    """

    sources: tuple[Source, ...]
    diagnostics: tuple[Diagnostic, ...]
    digest: str


def read_directory(
    root: Path,
    pause: Callable[[float], object] = time.sleep,
    read: Callable[[Path], bytes] = Path.read_bytes,
    earlier: PolicyFiles | None = None,
) -> PolicyFiles:
    """Read the policy files below `root`, each with `read`.

    `pause(seconds)` waits for a writer to finish. The sources of files that hold the same bytes as
    in an `earlier` state are taken from there.

    Raises:
        PoliciesUnreadable: see there.
    """
    before = _stamps(root)
    for _ in range(_ATTEMPTS):
        contents = _contents(root, before, read)
        after = _stamps(root)
        if contents is not None and before == after:
            return _files(contents, earlier)
        before = after
        pause(_SETTLE)
    raise PoliciesUnreadable(f"{root} keeps changing")


def _files(contents: list[tuple[str, bytes]], earlier: PolicyFiles | None) -> PolicyFiles:
    digest = hashlib.sha256()
    for name, data in contents:
        for part in (os.fsencode(name), data):
            digest.update(len(part).to_bytes(8, "big"))
            digest.update(part)
    # Where nothing was found, a text stands for its bytes.
    sound = () if earlier is None or earlier.diagnostics else earlier.sources
    known = {source.name: source for source in sound}
    texts = [_read(name, data, known.get(name)) for name, data in contents]
    found = [diagnostic for text in texts for diagnostic in text.diagnostics]
    return PolicyFiles(tuple(text.source for text in texts), tuple(found), digest.hexdigest())


def _read(name: str, data: bytes, known: Source | None) -> Read:
    if known is not None and known.text.encode() == data:
        return Read(known, ())
    return read_text(name, data)


def _contents(
    root: Path, stamps: tuple[Stamp, ...], read: Callable[[Path], bytes]
) -> list[tuple[str, bytes]] | None:
    try:
        return [(stamp[0], read(root / stamp[0])) for stamp in stamps]
    except FileNotFoundError:  # it went away in between: look again
        return None
    except OSError as error:
        raise PoliciesUnreadable(f"{error.filename}: {error.strerror}") from error


def _stamps(root: Path) -> tuple[Stamp, ...]:
    """Return the name, device, inode, size and time of change of each policy file, by name."""
    try:
        top = root.stat()
    except OSError as error:
        raise PoliciesUnreadable(f"{root}: {error.strerror}") from error
    if not stat.S_ISDIR(top.st_mode):
        raise PoliciesUnreadable(f"{root} is no directory")
    return tuple(sorted(_walk(root, "", frozenset({(top.st_dev, top.st_ino)}))))


def _walk(folder: Path, prefix: str, above: frozenset[tuple[int, int]]) -> Iterator[Stamp]:
    """`above` are the directories that lead here: a link to one of them is not followed."""
    try:
        entries = list(os.scandir(folder))
    except FileNotFoundError:
        return
    except OSError as error:
        raise PoliciesUnreadable(f"{error.filename}: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        name = prefix + entry.name
        try:
            found = entry.stat()
        except FileNotFoundError:  # a dangling link, or gone in between
            continue
        if stat.S_ISDIR(found.st_mode):
            identity = (found.st_dev, found.st_ino)
            if identity not in above:
                yield from _walk(folder / entry.name, f"{name}/", above | {identity})
        elif name.endswith(_SUFFIX) and not name.endswith(_TEST_SUFFIX):
            yield (name, found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)


class DirectoryWatcher:
    """Tells when the policy files below a directory change.

    `changed` is called, from a thread of the watcher's own, with each new state that differs from
    the one before, beginning after `seen`; or with the error, once, while there is none to read.
    The directory's events come from the system; besides, it looks every second, for what makes no
    event: a link above the directory that is swapped, a network file system.
    """

    def __init__(
        self,
        root: Path,
        seen: PolicyFiles,
        changed: Callable[[PolicyFiles | PoliciesUnreadable], None],
    ) -> None:
        self._root = root
        self._seen = seen
        self._digest: str | None = seen.digest
        self._stamps: tuple[Stamp, ...] | None = None
        self._changed = changed
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run, name="policy-watcher", daemon=True)

    def start(self) -> None:
        """Begin to watch."""
        self._thread.start()

    def stop(self) -> None:
        """Watch no more."""
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        keep_looking(self._root, self.look, self._stop, what="the policies")

    def look(self) -> None:
        """Look once whether the files changed."""
        try:
            stamps = _stamps(self._root)
            if stamps == self._stamps:
                return
            files = read_directory(self._root, self._stop.wait, earlier=self._seen)
        except PoliciesUnreadable as error:
            if self._digest is not None:
                self._digest = self._stamps = None
                self._changed(error)
            return
        self._stamps, self._seen = stamps, files
        if files.digest != self._digest:
            self._digest = files.digest
            self._changed(files)
