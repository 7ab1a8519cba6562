"""Ends a daemon that was asked to stop and does not.

While it stops, a daemon may wait forever: for a disk that hangs, a pipe that nobody reads, or a
thread in an endless loop. So a timer starts with the signal. When it expires, the process logs
which threads are left and where, and ends at once, with its own exit code.
"""

from __future__ import annotations

import faulthandler
import logging
import os
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from types import FrameType
from typing import Final

_log = logging.getLogger(__name__)

#: What a process ends with that has to be ended by force.
FORCED: Final = 3
#: Seconds past the configured ones in which a daemon closes files and ends its threads. The parent
#: of workers waits a second longer.
MARGIN = 4.0
#: Seconds for the last words, where standard error does not take them.
_LAST_WORDS = 0.3


class Watchdog:
    """Ends the process by `end` so many seconds after it was armed."""

    def __init__(self, seconds: float, end: Callable[[int], object] = os._exit) -> None:
        self._seconds = seconds
        self._end = end
        self._armed = threading.Lock()

    def arm(self) -> None:
        """Let the time run, unless it does already. For any thread."""
        if self._armed.acquire(blocking=False):
            threading.Thread(target=self._wait, name="watchdog", daemon=True).start()
            if self._end is os._exit:
                # It needs no interpreter, which a thread may hold for ever. Its words are lost.
                nowhere = os.open(os.devnull, os.O_WRONLY | os.O_CLOEXEC)
                late = self._seconds + 2 * _LAST_WORDS
                faulthandler.dump_traceback_later(late, exit=True, file=nowhere)

    def _wait(self) -> None:
        threading.Event().wait(self._seconds)
        words = threading.Thread(target=_say, args=(self._seconds,), daemon=True)
        words.start()
        words.join(_LAST_WORDS)
        self._end(FORCED)


def _say(seconds: float) -> None:
    _log.error(
        "the daemon does not stop; it is ended",
        extra={"after": seconds, "threads": where_threads_are()},
    )


def where_threads_are() -> list[str]:
    """Return the name of each thread, except the one that watches, with file and line."""
    frames = sys._current_frames()
    return [
        f"{thread.name} {_place(frames[thread.ident])}"
        for thread in threading.enumerate()
        if thread.ident in frames and thread.name != "watchdog"
    ]


def _place(frame: FrameType) -> str:
    return f"{Path(frame.f_code.co_filename).name}:{frame.f_lineno}"
