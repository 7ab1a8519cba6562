"""Looking at a folder whenever something in it changes, and every second besides.

The folder's events come from the system; looking by the clock is for what makes no event: a link
above the folder that is swapped, a network file system.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from pathlib import Path

_log = logging.getLogger(__name__)
_DEBOUNCE_MS = 100
_LOOK_EVERY_MS = 1000


def keep_looking(
    folder: Path,
    look: Callable[[], None],
    stop: threading.Event,
    *,
    what: str,
    recursive: bool = True,
) -> None:
    """Call `look` until `stop` is set. For a thread of its own; no error ends it.

    `what` is the name of what is watched, in the log.
    """
    from watchfiles import watch  # it loads an event loop that nothing else needs

    while not stop.is_set():
        try:
            for _ in watch(
                folder,
                watch_filter=None,
                debounce=_DEBOUNCE_MS,
                rust_timeout=_LOOK_EVERY_MS,
                yield_on_timeout=True,
                stop_event=stop,
                raise_interrupt=False,
                recursive=recursive,
            ):
                look()
        except OSError as error:
            # The folder is away, or the system's watches are used up: looking still works.
            _log.debug("no events for %s: %s", folder, error)
            look()
            stop.wait(_LOOK_EVERY_MS / 1000)
        except Exception:
            # A watcher that ended in silence would leave what is old in force for good.
            _log.exception("watching %s failed; it goes on", what)
            stop.wait(_LOOK_EVERY_MS / 1000)
