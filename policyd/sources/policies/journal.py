"""The journal of activations: the outcome of every policy set, one JSON object a line.

A file that exceeds a mebibyte is renamed to `journal.ndjson.1`, which it replaces.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import Final, Literal

import msgspec

from policyd.regular_file import TooLong, read_regular
from policyd.sources.policies.model import Provenance

JOURNAL: Final = "journal.ndjson"
_LIMIT: Final = 1024 * 1024
#: Longer problems are cut off.
LONGEST: Final = 2000


class RuleNumbers(msgspec.Struct, frozen=True):
    """The number of rules of a set, and how many changed since the previous set."""

    rules: int
    added: int
    removed: int
    changed: int


class Entry(msgspec.Struct, frozen=True, omit_defaults=True):
    """The outcome of one policy set.

    `time` is in RFC 3339. `outcome`: the set serves (`activated`), serves again after a restart
    without its source (`restored`), or was `refused`, at a `step` and for a `problem`. `asked_by`
    is the caller who asked for it, empty if the source supplied it.
    """

    time: str
    outcome: Literal["activated", "restored", "refused"]
    provenance: Provenance
    revision: str = ""
    step: str = ""
    problem: str = ""
    rules: RuleNumbers | None = None
    asked_by: str = ""


def append(path: Path, entry: Entry) -> None:
    """Append an entry with one write. The caller holds the folder's lock. Raises `OSError`."""
    if path.exists() and path.stat().st_size > _LIMIT:
        path.replace(_older(path))
    flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC
    descriptor = os.open(path, flags, 0o600)
    try:
        begun = b"" if _ends_well(path) else b"\n"
        os.write(descriptor, begun + msgspec.json.encode(entry) + b"\n")
    finally:
        os.close(descriptor)


def _ends_well(path: Path) -> bool:
    """Tell whether the last line is complete; after a crash it may not be."""
    with path.open("rb") as file:
        if file.seek(0, os.SEEK_END) == 0:
            return True
        file.seek(-1, os.SEEK_END)
        return file.read(1) == b"\n"


def entries(path: Path, most: int) -> list[Entry]:
    """Return the newest entries, newest first. Raises `OSError`.

    A line that a crash left incomplete is skipped.
    """
    found: list[Entry] = []
    for file in (path, _older(path)):
        try:
            lines = read_regular(file, 2 * _LIMIT).splitlines()
        except (FileNotFoundError, NotADirectoryError, TooLong):
            continue
        for line in reversed(lines):
            if len(found) == most:
                return found
            try:
                found.append(msgspec.json.decode(line, type=Entry))
            except msgspec.DecodeError:
                continue
    return found


def _older(path: Path) -> Path:
    return path.with_name(f"{path.name}.1")
