"""The threads that run the unary calls of the standard transport.

Over grpcio's own server a call holds a thread from its headers on, also while its message has not
come. Callers who leave calls half open would thus hold up all others. So where calls wait and none
was begun for a while, more threads are started; a thread more is cheap as long as it only waits.

Input: functions to run. Output: their futures. Invariants: there are never more than `most`
threads; as long as there are fewer, no call waits for others that do not go on.
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

#: Seconds without a call begun after which those that wait are held up.
HELD_UP = 0.05
#: Seconds after which a further thread that finds nothing to do ends.
IDLE = 10.0


class Pool:
    """Begins calls in `threads` threads, and in up to `most` where those are held up.

    It is used as a `concurrent.futures.Executor`: grpcio asks for its `submit` alone. `idle` is how
    many seconds a further thread waits for something to do.
    """

    def __init__(self, threads: int, most: int, idle: float = IDLE) -> None:
        self._first = threads
        self._most = max(threads, most)
        self._idle = idle
        self._tasks: SimpleQueue[Callable[[], None] | None] = SimpleQueue()
        # Counted without a lock: it matters only whether it moves.
        self._begun = 0
        self._change = threading.Lock()
        self._further = 0
        self._closed = threading.Event()

    @property
    def threads(self) -> int:
        """How many threads there are."""
        return self._first + self._further

    def start(self) -> None:
        """Start the threads."""
        for number in range(self._first):
            self._start(partial(self._work, None), f"call-{number}")
        self._start(self._watch, "call-watch")

    def submit(self, call: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> Future[T]:
        """Have a call run by the next thread that is free."""
        future: Future[T] = Future()
        self._tasks.put(partial(_run, future, partial(call, *arguments, **named)))
        return future

    def close(self) -> None:
        """Let the threads end, each when its call has. What still waits is run before."""
        self._closed.set()
        self._tasks.put(None)

    def _start(self, work: Callable[[], None], name: str) -> None:
        threading.Thread(target=work, name=name, daemon=True).start()

    def _work(self, patience: float | None) -> None:
        """Run calls until the pool is closed, or none came for `patience` seconds."""
        while True:
            try:
                task = self._tasks.get(timeout=patience)
            except Empty:
                return
            if task is None:
                self._tasks.put(None)  # for the next thread
                return
            self._begun += 1
            task()
            del task  # which keeps its call alive

    def _work_further(self) -> None:
        try:
            self._work(self._idle)
        finally:
            with self._change:
                self._further -= 1

    def _watch(self) -> None:
        """Double the threads where calls wait and none was begun since the last look."""
        seen = -1
        while not self._closed.wait(HELD_UP):
            before, seen = seen, self._begun
            if seen != before or self._tasks.empty():
                continue
            for _ in range(min(self.threads, self._most - self.threads)):
                try:
                    self._start_further()
                except RuntimeError as error:  # the system bears no more: the next look may
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
    except BaseException as error:  # the holder of the future gets it
        future.set_exception(error)
    else:
        future.set_result(result)
