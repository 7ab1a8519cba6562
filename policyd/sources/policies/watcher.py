"""A directory as a source of policies: its first state, and each new state once writing has
stopped.

A program that changes a directory file by file (an editor, rsync, `git pull`) leaves it incomplete
for a moment. So a change is read once nothing has changed for `settle` seconds or, if changes do
not stop, after ten seconds. A directory that is missing for a shorter time counts as unchanged.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

import msgspec

from policyd.sources.policies.directory import read_directory
from policyd.sources.policies.model import (
    Changed,
    LookFigures,
    PoliciesUnreadable,
    PolicyFiles,
    Provenance,
)
from policyd.sources.policies.steps import Step, Steps
from policyd.sources.policies.walk import Walk, walk
from policyd.sources.watching import Events, keep_looking, system_events

#: The longest wait for changes to stop, in seconds.
LONGEST_SETTLE: Final = 10.0
#: The seconds between two looks during that wait.
_PARTS: Final = 5
#: The least `settle`, in seconds: a file system's clock must be able to distinguish two changes.
_SHORTEST_SETTLE: Final = 0.02
#: The longest wait of `stop` for a running look, in seconds: a network file system may hang.
_WAIT_FOR_STOP: Final = 2.0


class DirectorySettings(msgspec.Struct, frozen=True):
    """`settle` is in seconds; with `follow_outside`, links may lead out of the directory; with
    `with_tests`, test files are returned as well."""

    settle: float = 0.5
    follow_outside: bool = False
    with_tests: bool = False


DEFAULTS: Final = DirectorySettings()


class DirectorySource:
    """The policies below `root`.

    `clock` gives seconds of any origin, `now` seconds since the epoch; `pause(seconds)` waits, and
    returns whether to stop. `events` are the system's file events.
    """

    def __init__(
        self,
        root: Path,
        settings: DirectorySettings = DEFAULTS,
        *,
        clock: Callable[[], float] = time.monotonic,
        now: Callable[[], float] = time.time,
        pause: Callable[[float], object] | None = None,
        events: Events = system_events,
        steps: Steps | None = None,
    ) -> None:
        self._steps = steps or Steps()
        self._root = root
        self._settings = settings
        self._clock = clock
        self._now = now
        self._stop = threading.Event()
        self._pause = pause or self._stop.wait
        self._events = events
        self._seen: PolicyFiles | None = None
        self._told: str | None = None  # the last reported digest or problem
        self._known: Walk | str | None = None  # the result of the last look, if all of it was read
        self._folders: tuple[str, ...] = ()
        self._figures = LookFigures()
        self._one_at_a_time = threading.Lock()
        self._thread: threading.Thread | None = None

    @property
    def figures(self) -> LookFigures:
        """How looking goes."""
        return self._figures

    def read(self) -> PolicyFiles:
        """Return the current state, even while files change. Raises `PoliciesUnreadable`."""
        with self._one_at_a_time:
            files = self._read()
            # A file system may give two changes the same time: recent files are read again.
            self._known = None
            self._told = files.digest
            self._done(None)
            return files

    def look(self, changed: Changed) -> None:
        """Look once, and report a change."""
        with self._one_at_a_time:
            try:
                self._look(changed)
            except BaseException as error:
                self._done(repr(error))
                self._known = None
                raise

    def watch(self, changed: Changed) -> None:
        """Look repeatedly, in a separate thread."""
        self._thread = threading.Thread(
            target=keep_looking,
            args=(self._watched, lambda: self.look(changed), self._stop),
            kwargs={"what": "the policies", "events": self._events},
            name="policy-watcher",
            daemon=True,
        )
        self._thread.start()

    def stop(self) -> None:
        """Stop watching."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(_WAIT_FOR_STOP)

    def soon(self) -> None:
        """Do nothing: events report each change as it happens."""

    def serves(self, provenance: Provenance) -> None:
        """Do nothing: the next state of a directory need not follow from this one."""

    def recall(self, name: str) -> PolicyFiles:
        """Raise `PoliciesUnreadable`: a directory has no earlier states."""
        raise PoliciesUnreadable(f"no set that served is named `{name}`")

    @property
    def source(self) -> Provenance:
        """The directory."""
        return Provenance("directory", str(self._root))

    @property
    def named(self) -> str:
        """Empty: states of a directory have no names."""
        return ""

    def _watched(self) -> Sequence[Path]:
        """Return the folders to watch for events. A swapped link to the root makes no event; a
        later look sees it."""
        return [Path(folder) for folder in self._folders] or [self._root]

    def _look(self, changed: Changed) -> None:
        found = self._walk()
        if found == self._known:
            self._done(self._figures.problem)
            return
        found = self._settled(found)
        if self._stop.is_set():
            return
        news: PolicyFiles | PoliciesUnreadable
        try:
            if isinstance(found, str):
                raise PoliciesUnreadable(found)
            news = self._read()
        except PoliciesUnreadable as error:
            self._known, news, told = found, error, str(error)
            self._done(told)
        else:
            told = news.digest
            self._done(None)
        if told != self._told:
            self._told = told
            changed(news)

    def _walk(self) -> Walk | str:
        """Return a walk, or why it failed."""
        try:
            found = walk(self._root, follow_outside=self._settings.follow_outside)
        except PoliciesUnreadable as error:
            return str(error)
        self._folders = found.folders
        return found

    def _settled(self, found: Walk | str) -> Walk | str:
        """Return a walk once changes have stopped."""
        settle = max(self._settings.settle, _SHORTEST_SETTLE)
        began = changed = now = self._clock()
        while now - changed < settle and now - began < LONGEST_SETTLE:
            if self._pause(settle / _PARTS):
                break
            again = self._walk()
            now = self._clock()
            self._figures = msgspec.structs.replace(self._figures, looked_at=self._now())
            if again != found:
                found, changed = again, now
        return found

    def _read(self) -> PolicyFiles:
        with self._steps.take(Step.READ):
            state = read_directory(
                self._root,
                follow_outside=self._settings.follow_outside,
                pause=self._pause,
                earlier=self._seen,
                with_tests=self._settings.with_tests,
            )
        self._seen = state.files
        self._folders = state.walk.folders
        # An unreadable file is tried again, even if no walk sees a change.
        self._known = state.walk if state.whole else None
        return state.files

    def _done(self, problem: str | None) -> None:
        """Record how a look ended."""
        before = self._figures
        failed = before.failed + (problem is not None)
        now = self._now()
        succeeded_at = now if problem is None else before.succeeded_at
        self._figures = LookFigures(now, failed, problem, succeeded_at)
