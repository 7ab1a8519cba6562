"""Policy files named on a command line.

In come paths of files and directories; out go the files' texts, named as a user can open them, in
an order that depends on the names alone. A directory stands for all policy files below it; hidden
files and directories are left out, symbolic links are followed. A file that is named itself is
always read.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator
from enum import Enum
from pathlib import Path

import msgspec

from policyd.diagnostics import Diagnostic, Source
from policyd.errors import PolicydError
from policyd.language import text
from policyd.language.parser import TEST_SUFFIX

_SUFFIX = ".policy"


class Wanted(Enum):
    """Which files below a directory are read."""

    POLICIES = "policy files"
    TESTS = "test files (`*_test.policy`)"
    ALL = "policy or test files"

    def includes(self, name: str) -> bool:
        """Tell whether a file of this name is wanted."""
        if not name.endswith(_SUFFIX):
            return False
        return self is Wanted.ALL or name.endswith(TEST_SUFFIX) is (self is Wanted.TESTS)


class FilesUnusable(PolicydError):
    """A path does not exist, cannot be read, or holds nothing of what is wanted."""


class ReadFile(msgspec.Struct, frozen=True):
    """A file as read. With an error among `diagnostics`, the source is good for showing only."""

    path: Path
    source: Source
    diagnostics: tuple[Diagnostic, ...]


def read_files(paths: Iterable[Path], wanted: Wanted) -> tuple[ReadFile, ...]:
    """Read the wanted files at and below the paths, sorted by name, each once.

    Raises `FilesUnusable`.
    """
    found: dict[Path, Path] = {}
    for path in paths:
        below = sorted(_files(path, wanted))
        if not below:
            raise FilesUnusable(f"{path}: there are no {wanted.value} here")
        for file in below:
            found.setdefault(file.resolve(), file)
    return tuple(_read(path) for path in sorted(found.values(), key=str))


def _files(path: Path, wanted: Wanted) -> Iterator[Path]:
    if path.is_dir():
        yield from _below(path, wanted, frozenset({path.resolve()}))
    elif path.exists():
        # For tests, the policies that are named beside them are no tests themselves.
        if wanted is Wanted.ALL or path.name.endswith(TEST_SUFFIX) is (wanted is Wanted.TESTS):
            yield path
    else:
        raise FilesUnusable(f"{path}: there is no such file or directory")


def _below(folder: Path, wanted: Wanted, above: frozenset[Path]) -> Iterator[Path]:
    """`above` are the directories that lead here: a link back to one is not followed."""
    try:
        entries = sorted(folder.iterdir())
    except OSError as error:
        raise FilesUnusable(f"{folder}: {error.strerror}") from error
    for entry in entries:
        if entry.name.startswith("."):
            continue
        if entry.is_dir():
            target = entry.resolve()
            if target not in above:
                yield from _below(entry, wanted, above | {target})
        elif entry.is_file() and wanted.includes(entry.name):
            yield entry


def _read(path: Path) -> ReadFile:
    try:
        data = path.read_bytes()
    except OSError as error:
        raise FilesUnusable(f"{path}: {error.strerror}") from error
    read = text.read(str(path), data)
    return ReadFile(path, read.source, read.diagnostics)


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
