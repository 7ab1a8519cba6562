"""A directory in a file of JSON, one entity a line, as AuthZEN writes them: `type`, `id`, and
perhaps `properties`.

The file's order is the pages' order. The file is read again when it changes and is at rest.

Invariants: a file with an error changes nothing: the last good entities go on, and log and
`/readyz` tell. A page follows another of the same state of the file, or is refused.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from threading import Event, Lock, Thread
from typing import Final

from policyd.config.entities import EntitiesInvalid, read_entities
from policyd.pdp.priority import stand_back
from policyd.server.directory.model import (
    Found,
    Key,
    Page,
    Wanted,
)
from policyd.sources.watching import keep_looking

_REVISION: Final = 16
#: A file system may give two changes one time, so a younger file is read once more.
_RACY: Final = 2.0
_log = logging.getLogger(__name__)

_Stamp = tuple[int, int, int, int, int]


class FileDirectory:
    """The entities of the file at `path`; see `EntityDirectory`. `clock` is in seconds since the
    epoch. Raises `EntitiesInvalid` where the file is of no use to begin with."""

    def __init__(self, path: Path, clock: Callable[[], float] = time.time) -> None:
        self._path = path
        self._clock = clock
        self._looking = Lock()
        self._stop = Event()
        self._thread = Thread(target=self._run, name="directory", daemon=True)
        self._taken = self._seen = self._stamp()
        self._now = read_entities(path)
        self.problem: str | None = None

    def find(self, keys: Sequence[Key]) -> Found:
        """See `EntityDirectory.find`."""
        now = self._now
        return [now.known(key.type, key.id) for key in keys]

    def page(self, wanted: Wanted) -> Page | None:
        """See `EntityDirectory.page`: a position is a number and the revision that it counts in."""
        now = self._now
        revision = now.revision[:_REVISION]
        number, _, counted_in = wanted.after.partition(".")
        if wanted.after and (counted_in != revision or not number.isdecimal()):
            return None
        start = int(number or 0)
        entities, end = now.of(wanted.type), start + wanted.limit
        following = f"{end}.{revision}" if end < len(entities) else ""
        return Page(entities[start:end], following)

    def filters(self, type_: str) -> bool:  # noqa: ARG002 - a page goes through all
        """See `EntityDirectory.filters`."""
        return False

    def start(self) -> None:
        """Follow the file."""
        self._thread.start()

    def stop(self) -> None:
        """Follow it no more."""
        self._stop.set()
        if self._thread.is_alive():
            self._thread.join()

    def troubles(self) -> Iterator[str]:
        """See `EntityDirectory.troubles`."""
        if self.problem is not None:
            yield (
                "the file of entities cannot be used, and the last good ones go on: "
                f"`authzen.directory`: {self.problem}"
            )

    def _run(self) -> None:
        stand_back()
        # The folder, not the file: files are replaced, and Kubernetes swaps a link beside it.
        folder = self._path.parent
        keep_looking(lambda: (folder,), self.follow, self._stop, what="the entities")

    def follow(self) -> None:
        """Read the file again if it has changed, and is as it was at the last look."""
        stamp = self._stamp()
        at_rest, self._seen = stamp == self._seen, stamp
        if at_rest and stamp != self._taken:
            self.look()

    def look(self) -> None:
        """Read the file again; an error of it changes nothing."""
        with self._looking:
            stamp = self._stamp()
            try:
                found = read_entities(self._path)
            except EntitiesInvalid as error:
                self._taken = stamp
                self._failed(str(error))
                return
            young = stamp is not None and self._clock() - stamp[3] / 1e9 < _RACY
            self._taken = None if young else stamp
            if self.problem is not None:
                _log.info("the file of entities is in order again")
            self.problem = None
            if found.revision != self._now.revision:
                self._now = found
                _log.info("the entities of searches were read again")

    def _failed(self, problem: str) -> None:
        if problem != self.problem:
            _log.error(
                "the file of entities cannot be used; the last good ones go on",
                extra={"problem": problem, "file": str(self._path)},
            )
        self.problem = problem

    def _stamp(self) -> _Stamp | None:
        try:
            found = self._path.stat()
        except OSError:
            return None
        return (
            found.st_dev,
            found.st_ino,
            found.st_size,
            found.st_mtime_ns,
            found.st_ctime_ns,
        )
