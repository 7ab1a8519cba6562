"""Policy files named on a command line.

Input are paths of files and directories; output are the files' texts, with names that a user can
open, sorted by name. A directory stands for all policy files below it, which are found and read as
in the daemon (`policyd.sources.policies`). A file that is named itself is read whatever its name
is; if it is a link, its target must be below its directory or the working directory.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from enum import Enum
from pathlib import Path

import msgspec

from policyd.diagnostics import Diagnostic, Source
from policyd.errors import PolicydError
from policyd.language import text
from policyd.language.parser import TEST_SUFFIX
from policyd.sources.policies import PoliciesUnreadable
from policyd.sources.policies.directory import Content, findings_of, read_files, rules_in_tests
from policyd.sources.policies.names import is_policy
from policyd.sources.policies.walk import FoundFile, Walk, walk

#: What to do where there are no policies.
_BEGIN = "; name the folder of your policies, or make a policy set: `policyd init`"


class Wanted(Enum):
    """Which files below a directory are read."""

    POLICIES = "policy files"
    TESTS = "test files (`*_test.policy`)"
    ALL = "policy or test files"

    def includes(self, name: str) -> bool:
        """Tell whether a file of this name is wanted."""
        if not is_policy(name):
            return False
        return self.takes(name)

    def takes(self, name: str) -> bool:
        """Tell whether a file that was named itself is wanted, whatever its ending."""
        return self is Wanted.ALL or name.endswith(TEST_SUFFIX) is (self is Wanted.TESTS)


class FilesUnusable(PolicydError):
    """A path does not exist, cannot be read, or holds nothing of what is wanted."""


class ReadFile(msgspec.Struct, frozen=True):
    """A file as read. With an error among `diagnostics`, the source is good for showing only."""

    path: Path
    source: Source
    diagnostics: tuple[Diagnostic, ...]


class FoundFiles(msgspec.Struct, frozen=True):
    """The files, and the findings about entries of directories that are none of them."""

    files: tuple[ReadFile, ...]
    diagnostics: tuple[Diagnostic, ...]


def find_files(
    paths: Iterable[Path], wanted: Wanted, *, follow_outside: bool = False
) -> FoundFiles:
    """Read the wanted files at and below the paths, sorted by name, each once.

    Raises `FilesUnusable`.
    """
    read: dict[str, Content] = {}
    found: list[Diagnostic] = []
    for path in paths:
        try:
            there = _look(path, wanted, follow_outside=follow_outside)
            chosen = [one for one in there.files if there.place(one) not in read]
            contents = read_files(msgspec.structs.replace(there, files=tuple(chosen)))
        except PoliciesUnreadable as error:
            raise FilesUnusable(str(error)) from error
        found += findings_of(there)
        read |= {there.place(one): new for one, new in zip(chosen, contents, strict=True)}
    if wanted is Wanted.POLICIES:
        found += rules_in_tests(read.values())
    contents = sorted(read.values(), key=lambda one: one.name)
    found += [one.finding for one in contents if one.finding is not None]
    return FoundFiles(
        tuple(
            _file(one.name, one.data)
            for one in contents
            if one.data is not None and (wanted is not Wanted.POLICIES or not one.is_test)
        ),
        tuple(dict.fromkeys(found)),
    )


def _file(name: str, data: bytes) -> ReadFile:
    read = text.read(name, data)
    return ReadFile(Path(name), read.source, read.diagnostics)


def _look(path: Path, wanted: Wanted, *, follow_outside: bool) -> Walk:
    """Return what is at or below a path, but what is not wanted.

    Where policies are, tests come along: there may be rules in them.
    """
    try:
        is_directory = path.is_dir()
        found = (
            walk(path, follow_outside=follow_outside, prefix=_prefix(path))
            if is_directory
            else _named(path, follow_outside=follow_outside)
        )
    except OSError as error:
        raise FilesUnusable(f"{path}: {error.strerror}") from error
    tells = wanted.includes if is_directory else wanted.takes
    chosen = tuple(one for one in found.files if tells(one.name))
    if not chosen and not found.problems:
        hints = "".join(f"; is `{one.name}` to be `{one.meant}`?" for one in found.misnamed[:3])
        raise FilesUnusable(f"{path}: there are no {wanted.value} here{hints or _BEGIN}")
    if is_directory and wanted is Wanted.POLICIES:
        return found
    return msgspec.structs.replace(found, files=chosen)


def _prefix(path: Path) -> str:
    return "" if path == Path() else f"{str(path).rstrip('/')}/"


def _named(path: Path, *, follow_outside: bool) -> Walk:
    """Return a file that was named itself.

    The user who names files may not have written them. So a link in a change under review must not
    lead to files outside the review, such as the reviewer's environment.
    """
    if not os.path.lexists(path):
        raise FilesUnusable(f"{path}: there is no such file or directory{_BEGIN}")
    place = Path(os.path.realpath(path, strict=True))
    near = (Path(os.path.realpath(path.parent)), Path(os.path.realpath(Path.cwd())))
    if not follow_outside and not any(place.is_relative_to(folder) for folder in near):
        raise FilesUnusable(
            f"{path}: the link leads outside of its directory, to {place}; "
            "--follow-outside follows it"
        )
    entry = FoundFile(str(path), str(place).lstrip("/"), (0, 0, 0, 0, 0))
    return Walk("/", (entry,), (), (), (), ())


def replace_text(path: Path, text: str) -> None:
    """Replace a file in one step, so that no reader and no crash meets half of it.

    Its mode stays, and a link stays a link. Raises `FilesUnusable`.
    """
    target = path.resolve()
    new: Path | None = None
    try:
        with tempfile.NamedTemporaryFile(dir=target.parent, prefix=".new-", delete=False) as file:
            new = Path(file.name)
            file.write(text.encode())
        new.chmod(target.stat().st_mode)
        new.replace(target)
    except OSError as error:
        if new is not None:
            new.unlink(missing_ok=True)
        raise FilesUnusable(f"{path}: {error.strerror}") from error


def write_text(path: Path, text: str) -> None:
    """Write a new file, or over an old one. Raises `FilesUnusable`."""
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise FilesUnusable(f"{path}: {error.strerror}") from error
