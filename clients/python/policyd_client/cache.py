"""Answers that are kept for as long as the daemon says that they may be (`cacheable_until`)."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable
from threading import Lock

from .values import Answer


class AnswerCache:
    """At most `entries` answers, each until its `cacheable_until`, and `seconds` at most.

    `seconds` bounds what a clock that differs from the daemon's can do. A token, a policy or a list
    of revocations that changes meanwhile is not noticed. An answer from here bears the decision id
    of the call that it came from; nothing is logged for it. Threads and tasks may share a cache.

    `now` is the time since the epoch, `monotonic` a clock that nobody sets.
    """

    def __init__(
        self,
        entries: int = 1000,
        seconds: float = 5.0,
        *,
        now: Callable[[], float] = time.time,
        monotonic: Callable[[], float] = time.monotonic,
    ) -> None:
        self._entries = entries
        self._seconds = seconds
        self._now = now
        self._monotonic = monotonic
        self._lock = Lock()
        self._kept: OrderedDict[bytes, tuple[float, Answer]] = OrderedDict()

    def get(self, key: bytes) -> Answer | None:
        """Return the answer to a question if it may still be used."""
        with self._lock:
            found = self._kept.get(key)
            if found is None:
                return None
            end, answer = found
            until = answer.cacheable_until
            if until is None or self._monotonic() >= end or self._now() >= until.timestamp():
                del self._kept[key]
                return None
            self._kept.move_to_end(key)
            return answer

    def put(self, key: bytes, answer: Answer) -> None:
        """Keep an answer, if it may be kept at all."""
        if answer.cacheable_until is None or self._now() >= answer.cacheable_until.timestamp():
            return
        with self._lock:
            self._kept[key] = (self._monotonic() + self._seconds, answer)
            self._kept.move_to_end(key)
            while len(self._kept) > self._entries:
                self._kept.popitem(last=False)

    def clear(self) -> None:
        """Forget everything, for example after a revocation."""
        with self._lock:
            self._kept.clear()
