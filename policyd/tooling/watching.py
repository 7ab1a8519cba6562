"""Waits for policy files to change, so that a tool can run again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from pathlib import Path

from watchfiles import Change, watch

from policyd.tooling.files import FilesUnusable, Wanted

#: How long the first answer takes, and an interrupt at most, in milliseconds.
_ROUND = 100


def changes(paths: Iterable[Path]) -> Iterator[frozenset[str]]:
    """Yield no name once watching has begun, and then the names of files whenever some changed.

    From the first answer on no change is lost, whenever the next one is asked for. The folder of a
    file is watched: editors save by putting another file in its place. Raises
    `FilesUnusable`.
    """
    folders = {path if path.is_dir() else path.parent for path in paths}
    for folder in sorted(folders):
        if not folder.is_dir():
            raise FilesUnusable(f"{folder}: there is no such directory")
    begun = False
    for found in watch(
        *sorted(folders), watch_filter=_is_policy, rust_timeout=_ROUND, yield_on_timeout=True
    ):
        if found or not begun:
            begun = True
            yield frozenset(name for _, name in found)


def _is_policy(_: Change, name: str) -> bool:
    return Wanted.ALL.includes(Path(name).name)
