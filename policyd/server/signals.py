"""Waiting for SIGTERM, SIGINT or SIGHUP, without ever missing one.

A lock does not do: a signal that another thread receives, or that comes just before the wait, would
leave the main thread waiting. A pipe does, into which the interpreter writes each number.

The main thread may be held up when a signal comes. So a thread of its own reads that pipe, says at
once to whom it concerns that a stop was asked for, and passes the number on.

A process has no handlers while it starts: a signal that comes then would end it, for the sender to
take as a failure. The parent process holds signals back until the child waits for them
(`held_back`).
"""

from __future__ import annotations

import os
import queue
import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

#: The name of the signal that asks to read the configuration again. The others ask for a stop.
RECONFIGURE: Final = signal.SIGHUP.name
_AWAITED = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


@contextmanager
def held_back() -> Iterator[None]:
    """Keep signals waiting that come meanwhile, for this thread and for processes that it starts.

    A started process inherits that (fork(2), execve(2)); `Signals` there lets them through.
    """
    before = signal.pthread_sigmask(signal.SIG_BLOCK, _AWAITED)
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


class Signals:
    """A context in which the signals to a daemon can be waited for. For the main thread.

    `asked_to_stop` is called at each signal that asks for a stop, whatever the main thread does.
    Signals that were held back come through once there are handlers, and are held back afterwards.
    """

    def __init__(self, asked_to_stop: Callable[[], None] = lambda: None) -> None:
        self._asked_to_stop = asked_to_stop

    def __enter__(self) -> Signals:
        self._names: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._reader, self._writer = os.pipe()
        self._thread = threading.Thread(target=self._pass_on, name="signals", daemon=True)
        self._thread.start()
        os.set_blocking(self._writer, False)
        self._wakeup = signal.set_wakeup_fd(self._writer, warn_on_full_buffer=False)
        # Any handler of Python's makes the interpreter write to the pipe.
        self._before = {number: signal.signal(number, _nothing) for number in _AWAITED}
        self._held_back = signal.pthread_sigmask(signal.SIG_UNBLOCK, _AWAITED)
        return self

    def __exit__(self, *_: object) -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, self._held_back)
        for number, handler in self._before.items():
            signal.signal(number, handler)
        signal.set_wakeup_fd(self._wakeup)
        os.close(self._writer)
        self._thread.join()
        os.close(self._reader)

    def wait(self, seconds: float | None = None) -> str | None:
        """Wait for a signal, `seconds` at most; return its name, or `None` when there was none."""
        try:
            return self._names.get(timeout=seconds) if seconds != 0 else self._names.get_nowait()
        except queue.Empty:
            return None

    def _pass_on(self) -> None:
        while number := os.read(self._reader, 1):
            name = signal.Signals(number[0]).name
            if name != RECONFIGURE:
                self._asked_to_stop()
            self._names.put(name)


def _nothing(_number: int, _frame: FrameType | None) -> None:
    """Let the pipe tell."""
