"""Watches folders: calls a function when something in them changes, and every second.

The system's events report changes. The look every second is for changes without an event: a swapped
link above a folder, a network file system, a file behind a link. Folders are watched one by one,
because a watch of a whole tree follows all links in it, however many paths they make.

Invariant: only the stop ends the watch; errors of a look or of the system's events do not. Repeated
failures of one kind are logged once.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

_log = logging.getLogger(__name__)
_DEBOUNCE_MS: Final = 100
_LOOK_EVERY: Final = 1.0
#: The longest time without events after they failed, in seconds.
_LONGEST: Final = 64.0
#: The most folders that are watched by events; the look every second covers the others.
_FOLDERS: Final = 1000

_NO_EVENTS: Final = "there are no events for %s; looking goes on every second"
_DEFECT: Final = "watching %s failed; it goes on"

#: Yields after each event in one of the folders, and every second.
Events = Callable[[Sequence[Path], threading.Event], Iterator[object]]


def system_events(folders: Sequence[Path], stop: threading.Event) -> Iterator[object]:
    """Yield after each event of the system, until `stop` is set. Raises the errors of
    watchfiles."""
    from watchfiles import watch  # it loads an event loop that only this function needs

    return watch(
        *folders,
        watch_filter=None,
        debounce=_DEBOUNCE_MS,
        rust_timeout=int(_LOOK_EVERY * 1000),
        yield_on_timeout=True,
        stop_event=stop,
        raise_interrupt=False,
        recursive=False,
    )


def keep_looking(
    folders: Callable[[], Sequence[Path]],
    look: Callable[[], None],
    stop: threading.Event,
    *,
    what: str,
    events: Events = system_events,
) -> None:
    """Call `look` until `stop` is set, in a separate thread.

    `folders` returns the folders to watch, which a look may change; `what` is their name in the
    log.
    """
    looking = _Looking(look, stop, what)
    pause = _LOOK_EVERY
    while not stop.is_set():
        watched = list(folders())[:_FOLDERS]
        try:
            for _ in events(watched, stop):
                looking.has_events()
                looking.once()
                pause = _LOOK_EVERY
                if list(folders())[:_FOLDERS] != watched:
                    break
            else:
                looking.by_the_clock(_LOOK_EVERY)  # events ended without a stop
        except BaseException as error:
            # A panic of a native part is no Exception. The folder may be away, or the system's
            # watches used up: looking still works.
            looking.fails(_NO_EVENTS, error)
            looking.by_the_clock(pause)
            pause = min(2 * pause, _LONGEST)


class _Looking:
    def __init__(self, look: Callable[[], None], stop: threading.Event, what: str) -> None:
        self._look = look
        self._stop = stop
        self._what = what
        self._said: dict[str, str] = {}

    def once(self) -> None:
        try:
            self._look()
        except BaseException as error:
            # If this thread ended, the old state would stay in force unnoticed.
            self.fails(_DEFECT, error)
        else:
            self._said.pop(_DEFECT, None)

    def has_events(self) -> None:
        self._said.pop(_NO_EVENTS, None)

    def by_the_clock(self, seconds: float) -> None:
        """Look every second for a number of seconds."""
        while seconds > 0 and not self._stop.is_set():
            self.once()
            self._stop.wait(_LOOK_EVERY)
            seconds -= _LOOK_EVERY

    def fails(self, message: str, error: BaseException) -> None:
        """Log a failure, unless the last failure of its kind was the same."""
        if self._said.get(message) == repr(error):
            return
        self._said[message] = repr(error)
        if message == _NO_EVENTS and isinstance(error, FileNotFoundError):
            _log.debug(message, self._what)  # the look reports that the folder is missing
        elif isinstance(error, OSError):
            _log.warning(message, self._what, extra={"error": str(error)})
        else:
            _log.error(message, self._what, exc_info=error)
