"""Answers that come later: waited for by a thread, or by a task.

Most answers are there at once. One comes later where an issuer must be asked first, or where the
decision log has no room and the configuration says to wait for it.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from contextlib import suppress
from queue import Empty, SimpleQueue
from time import monotonic
from typing import Final, TypeVar

from policyd.pdp.calls import CallFailed, Deferred, StatusCode, start_deferred

T = TypeVar("T")

#: How the decision log names the service that asks.
CALLER: Final = "in process"
_NO_METADATA: Final[Mapping[str, str | bytes]] = {}
_TOO_LATE: Final = "what the answer needs did not come in time"


class InProcess:
    """A call of the service itself, for which it waits `timeout` seconds at most."""

    __slots__ = ("_until",)

    def __init__(self, timeout: float) -> None:
        self._until = monotonic() + timeout

    def metadata(self) -> Mapping[str, str | bytes]:
        """Return what came with the call: nothing."""
        return _NO_METADATA

    def time_remaining(self) -> float:
        """Return the seconds for which the service still waits."""
        return max(0.0, self._until - monotonic())

    def caller(self) -> str:
        """Return who calls."""
        return CALLER


def waited_for(answer: T | Deferred[T], timeout: float) -> T:
    """Return an answer, once it is there. Raises `CallFailed`."""
    if not isinstance(answer, Deferred):
        return answer
    brought: SimpleQueue[T | CallFailed] = SimpleQueue()
    start_deferred(answer, brought.put)
    try:
        return _found(brought.get(timeout=timeout))
    except Empty:
        raise CallFailed(StatusCode.DEADLINE_EXCEEDED, _TOO_LATE) from None


async def awaited(answer: T | Deferred[T], timeout: float) -> T:
    """Return an answer, once it is there. Raises `CallFailed`."""
    if not isinstance(answer, Deferred):
        return answer
    loop = asyncio.get_running_loop()
    brought: asyncio.Future[T | CallFailed] = loop.create_future()

    def settle(found: T | CallFailed) -> None:
        if not brought.done():  # else nobody waits any more
            brought.set_result(found)

    def deliver(found: T | CallFailed) -> None:
        with suppress(RuntimeError):  # the loop is closed, and with it whoever waited
            loop.call_soon_threadsafe(settle, found)

    start_deferred(answer, deliver)
    try:
        async with asyncio.timeout(timeout):
            return _found(await brought)
    except TimeoutError:
        raise CallFailed(StatusCode.DEADLINE_EXCEEDED, _TOO_LATE) from None


def _found(answer: T | CallFailed) -> T:
    if isinstance(answer, CallFailed):
        raise answer
    return answer
