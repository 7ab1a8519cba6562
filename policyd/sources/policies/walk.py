"""Lists the policy files below a directory, for the daemon and for tools.

Input: a directory. Output: a `Walk`: the files that are named like policies, and the problems of
entries that have such a name and are not files. Only directories are opened here.

- Hidden files and directories are skipped. A Kubernetes volume hides its versions and swaps a link
  named `..data`; the targets of its visible links are read.
- No directory is entered twice. Real directories come before links, and links are followed in order
  of their names; so a file has its own name or, if only links lead to it, the first of their names.
- A link must point below the directory, unless `follow_outside` is set.
- The numbers of entries, files and levels are bounded.

Two walks are equal if names and stamps show no change between them.
"""

from __future__ import annotations

import heapq
import os
import stat
from pathlib import Path, PurePath
from typing import Final

import msgspec

from policyd.diagnostics.visibility import is_hidden
from policyd.regular_file import kind_of
from policyd.sources.policies.model import PoliciesUnreadable
from policyd.sources.policies.names import SUFFIX, is_policy, meant

ENTRIES: Final = 100_000
FILES: Final = 10_000
DEPTH: Final = 32

#: Device, inode, size, and times of the last change of the content and of the inode.
Stamp = tuple[int, int, int, int, int]
_Identity = tuple[int, int]


class FoundFile(msgspec.Struct, frozen=True, order=True):
    """A file: its `name`, a path from the root, and where it `lies`: its path from the base, with
    links resolved."""

    name: str
    lies: str
    stamp: Stamp


class Problem(msgspec.Struct, frozen=True, order=True):
    """An entry that cannot be read as its name promises, and the reason."""

    name: str
    why: str


class Misnamed(msgspec.Struct, frozen=True, order=True):
    """A skipped file, and the name that was probably meant."""

    name: str
    meant: str


class Walk(msgspec.Struct, frozen=True):
    """The result of a walk, sorted by names.

    Paths of entries are relative to `base`. `folders` are the visited directories; `traces` are the
    stamps of entries that change while a program is writing.
    """

    base: str
    files: tuple[FoundFile, ...]
    problems: tuple[Problem, ...]
    misnamed: tuple[Misnamed, ...]
    folders: tuple[str, ...]
    traces: tuple[FoundFile, ...]

    def place(self, entry: FoundFile) -> str:
        """Return the path of a file, with links resolved."""
        return f"{self.base.rstrip('/')}/{entry.lies}"


def walk(root: Path, *, follow_outside: bool = False, prefix: str = "") -> Walk:
    """List the files below `root`, which may itself be a link; names begin with `prefix`.

    Raises:
        PoliciesUnreadable: `root` is no directory, cannot be read, or holds too much.
    """
    try:
        top = os.path.realpath(root, strict=True)
        if not stat.S_ISDIR(Path(top).stat().st_mode):
            raise PoliciesUnreadable(f"{root} is no directory")
        walker = _Walker(root, top, follow_outside)
        walker.walk(prefix)
    except OSError as error:
        raise PoliciesUnreadable(f"{root}: {error.strerror}") from error
    return walker.result()


class _Walker:
    def __init__(self, root: Path, top: str, follow_outside: bool) -> None:
        self._root = root
        self._top = top
        self._base = "/" if follow_outside else top
        self._levels = DEPTH
        self._entries = 0
        self._links: list[tuple[str, str]] = []
        self._entered: set[_Identity] = set()
        self._found: set[_Identity] = set()
        self._files: list[FoundFile] = []
        self._problems: list[Problem] = []
        self._misnamed: list[Misnamed] = []
        self._folders: list[str] = []
        self._traces: list[FoundFile] = []

    def result(self) -> Walk:
        return Walk(
            self._base,
            tuple(sorted(self._files)),
            tuple(sorted(self._problems)),
            tuple(sorted(self._misnamed)),
            tuple(self._folders),
            tuple(sorted(self._traces)),
        )

    def walk(self, prefix: str) -> None:
        self._levels = prefix.count("/") + DEPTH
        self._enter(self._top, prefix, linked=False)
        while self._links:
            self._follow(*heapq.heappop(self._links))

    def _enter(self, place: str, prefix: str, *, linked: bool) -> None:
        """Visit a directory and its subdirectories; `linked` if a link led here."""
        found = Path(place).stat()
        if _identity(found) in self._entered:
            return
        if prefix.count("/") > self._levels:
            raise PoliciesUnreadable(f"{self._root} has more than {DEPTH} levels of directories")
        self._entered.add(_identity(found))
        self._folders.append(place)
        self._traces.append(self._entry(prefix, place, found))
        below: list[str] = []
        for entry in self._scan(place):
            if entry.name.startswith("."):
                self._pass_over(prefix + entry.name, entry)
            elif entry.is_symlink():
                heapq.heappush(self._links, (prefix + entry.name, entry.path))
            elif entry.is_dir(follow_symlinks=False):
                below.append(entry.name)
            else:
                self._file(prefix + entry.name, entry, linked=linked)
        for name in below:
            try:
                self._enter(f"{place}/{name}", f"{prefix}{name}/", linked=linked)
            except OSError as error:
                self._problem(prefix + name, f"the directory cannot be read: {error.strerror}")

    def _scan(self, place: str) -> list[os.DirEntry[str]]:
        entries: list[os.DirEntry[str]] = []
        with os.scandir(place) as scan:
            for entry in scan:
                self._entries += 1
                if self._entries > ENTRIES:
                    raise PoliciesUnreadable(f"{self._root} has more than {ENTRIES:,} entries")
                entries.append(entry)
        return sorted(entries, key=lambda entry: entry.name)

    def _file(self, name: str, entry: os.DirEntry[str], *, linked: bool) -> None:
        if not is_policy(name):
            self._pass_over(name, entry)
            return
        try:
            found = entry.stat(follow_symlinks=False)
        except FileNotFoundError:  # removed in the meantime
            return
        except OSError as error:
            self._problem(name, f"it cannot be looked at: {error.strerror}")
            return
        self._add(name, entry.path, found, once=linked)

    def _pass_over(self, name: str, entry: os.DirEntry[str]) -> None:
        """Note a skipped file that was meant to be a policy or may become one."""
        last = name.rpartition("/")[2]
        guess = meant(last)
        if guess is not None and not entry.is_dir(follow_symlinks=False):
            self._misnamed.append(Misnamed(escaped(name), escaped(guess)))
        if SUFFIX in last:
            try:
                found = entry.stat(follow_symlinks=False)
            except OSError:  # removed or inaccessible: no policy is being written here
                return
            self._traces.append(self._entry(name, entry.path, found))

    def _follow(self, name: str, link: str) -> None:
        try:
            found = Path(link).stat()  # the system counts links, where `realpath` would recurse
            target = os.path.realpath(link, strict=True)
        except OSError as error:
            # Without an ending, the link may have pointed to a directory of policies.
            if is_policy(name) or not PurePath(name).suffix:
                self._problem(name, f"the link to {_leads_to(link)} {_broken(error)}")
            return
        is_directory = stat.S_ISDIR(found.st_mode)
        if not is_directory and not is_policy(name):
            guess = meant(name.rpartition("/")[2])
            if guess is not None:
                self._misnamed.append(Misnamed(escaped(name), escaped(guess)))
        elif not self._may_follow(target):
            self._problem(
                name,
                f"the link leads outside of the directory, to {_leads_to(link)}; to follow it, "
                "set `follow_outside = true` in `[policies]`, or give --follow-outside",
            )
        elif is_directory:
            try:
                self._enter(target, f"{name}/", linked=True)
            except OSError as error:
                self._problem(name, f"the directory cannot be read: {error.strerror}")
        else:
            self._add(name, target, found, once=True)

    def _may_follow(self, target: str) -> bool:
        return target == self._base or target.startswith(self._base.rstrip("/") + "/")

    def _add(self, name: str, place: str, found: os.stat_result, *, once: bool) -> None:
        if not stat.S_ISREG(found.st_mode):
            self._problem(name, f"it is {kind_of(found.st_mode)} and no file")
            return
        if once and _identity(found) in self._found:
            return
        if escaped(name) != name:
            self._problem(name, "its name contains a hidden character, or is not UTF-8")
            return
        self._found.add(_identity(found))
        self._files.append(self._entry(name, place, found))
        if len(self._files) > FILES:
            raise PoliciesUnreadable(f"{self._root} has more than {FILES:,} policy files")

    def _problem(self, name: str, why: str) -> None:
        self._problems.append(Problem(escaped(name), why))

    def _entry(self, name: str, place: str, found: os.stat_result) -> FoundFile:
        lies = place.removeprefix(self._base).lstrip("/")
        stamp = (
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )
        return FoundFile(name, lies, stamp)


def escaped(name: str) -> str:
    """Return a name with escapes for characters that are hidden or not text."""
    if name.isascii() and name.isprintable():
        return name
    return "".join(
        character.encode("unicode_escape").decode() if is_hidden(character) else character
        for character in name
    )


def _identity(found: os.stat_result) -> _Identity:
    return found.st_dev, found.st_ino


def _leads_to(link: str) -> str:
    try:
        return f"`{escaped(str(Path(link).readlink()))}`"
    except OSError:
        return "what is gone"


def _broken(error: OSError) -> str:
    if isinstance(error, FileNotFoundError):
        return "leads nowhere"
    return f"cannot be followed: {error.strerror}"
