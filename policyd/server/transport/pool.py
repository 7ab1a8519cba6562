"""The threads that run the unary calls of the standard transport.

In grpcio's own server, a call occupies a thread from its headers on, even before its message
arrives. So callers that leave calls half open would block all others. Therefore, if calls wait and
none was begun for a while, the pool starts more threads. A thread that only waits is cheap.

Input: functions to run. Output: their futures. Invariants: there are never more than `most`
threads. As long as there are fewer, no call waits for calls that are blocked.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from concurrent.futures import Future
from functools import partial
from queue import Empty, SimpleQueue
from typing import ParamSpec, TypeVar

_log = logging.getLogger(__name__)

P = ParamSpec("P")
T = TypeVar("T")

#: Seconds without a begun call after which waiting calls count as blocked.
HELD_UP = 0.05
#: Seconds after which an additional idle thread ends.
IDLE = 10.0


class Pool:
    """Runs calls in `threads` threads, and in up to `most` if those are blocked.

    It is used as a `concurrent.futures.Executor`, of which grpcio only needs `submit`. `idle` is
    the number of seconds that an additional thread waits for work.
    """

    def __init__(self, threads: int, most: int, idle: float = IDLE) -> None:
        self._first = threads
        self._most = max(threads, most)
        self._idle = idle
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Counted without a lock: it only matters whether the number changes.
        self._begun = 0
        self._change = threading.Lock()
        self._further = 0
        self._closed = threading.Event()

    @property
    def threads(self) -> int:
        """The number of threads."""
        return self._first + self._further

    def start(self) -> None:
        """Start the threads."""
        for number in range(self._first):
            self._start(partial(self._work, None), f"call-{number}")
        self._start(self._watch, "call-watch")

    def submit(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Run a call in the next free thread."""
        future: Future[T] = Future()
        self._tasks.put(partial(_run, future, partial(call, *arguments, **named)))
        return future

    def close(self) -> None:
        """Have the threads end, each after its call. Waiting calls are run first."""
        self._closed.set()
        self._tasks.put(None)

    def _start(self, work: Callable[[], None], name: str) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()

    def _work(self, patience: float | None) -> None:
        """Run calls until the pool is closed, or until no call came for `patience` seconds."""
        while True:
            try:
                task = self._tasks.get(timeout=patience)
            except Empty:
                return
            if task is None:
                self._tasks.put(None)  # the next thread ends too
                return
            self._begun += 1
            task()
            del task  # it keeps its call alive

    def _work_further(self) -> None:
        try:
            self._work(self._idle)
        finally:
            with self._change:
                self._further -= 1

    def _watch(self) -> None:
        """Double the threads if calls wait and none was begun since the last look."""
        seen = -1
        while not self._closed.wait(HELD_UP):
            before, seen = seen, self._begun
            if seen != before or self._tasks.empty():
                continue
            for _ in range(min(self.threads, self._most - self.threads)):
                try:
                    self._start_further()
                except RuntimeError as error:  # no more threads now; the next look tries again
                    _log.warning("calls are held up", extra={"error": str(error)})
                    break

    def _start_further(self) -> None:
        with self._change:
            self._further += 1
        try:
            self._start(self._work_further, "call-further")
        except RuntimeError:
            with self._change:
                self._further -= 1
            raise


def _run(future: Future[T], call: Callable[[], T]) -> None:
    if not future.set_running_or_notify_cancel():
        return
    try:
        result = call()
    except BaseException as error:  # the holder of the future gets the exception
        future.set_exception(error)
    else:
        future.set_result(result)
