"""Threads that let others go first."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Callable
from concurrent.futures import Future
from typing import Final, TypeVar

MadeT = TypeVar("MadeT")

#: How much nicer to others such a thread is, if not told otherwise, and how nice one can be
#: (setpriority(2)).
_NICER: Final = 5
_NICEST: Final = 19


def stand_back(nicer: int = _NICER) -> None:
    """Let the threads that answer calls go before this one, for good.

    On one core the system would else let a call wait until this thread's slice of time is over.
    Not far back: what this thread holds of the interpreter, others wait for.
    """
    if sys.platform == "linux":  # elsewhere threads have no priority of their own
        by_itself = os.getpriority(os.PRIO_PROCESS, os.getpid())
        least = min(by_itself + nicer, _NICEST)
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), least)


def made_standing_back(nicer: int, make: Callable[[], MadeT]) -> MadeT:
    """Return what `make` returns; the threads that it starts, and that those start, stand back.

    A thread has the priority of the one that started it.
    """
    made: Future[MadeT] = Future()

    def run() -> None:
        stand_back(nicer)
        try:
            made.set_result(make())
        except BaseException as error:
            made.set_exception(error)

    thread = threading.Thread(target=run, name="maker")
    thread.start()
    thread.join()
    return made.result()
