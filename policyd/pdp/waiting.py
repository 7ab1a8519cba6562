"""Calls that have to wait for an issuer: the one place where the daemon asks on behalf of a call.

Input: a call whose attempt raised `TokenPending`. Output: a `Deferred`. A few threads ask the
issuers. Calls that need the same answer share one request; then each call's attempt is repeated.

Invariants: every call gets an answer. As many calls as `calls` wait at most; the next is
answered at once, as if there had been no time to ask. No call waits for a free thread longer than
`LONGEST_QUEUE` seconds. Nothing that hangs here touches calls that need not wait.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Hashable
from concurrent.futures import ThreadPoolExecutor
from time import monotonic
from typing import Final, Generic, Protocol

from policyd.config.limits import DEFAULT_WAITING_CALLS, DEFAULT_WAITING_THREADS
from policyd.pdp.calls import DEFECT, Call, CallFailed, Deferred, Deliver, WrittenT
from policyd.tokens.endpoints.pending import TokenPending

LONGEST_QUEUE: Final = 2.0
#: An opaque token and its userinfo are two questions. More would be the same ones over again.
_MOST_QUESTIONS: Final = 4

_log = logging.getLogger(__name__)


class Waiting:
    """Asks issuers in `threads` threads, for at most `calls` calls at a time.

    `expected` tells whether the configuration has issuers to ask: transports prepare for it.
    """

    def __init__(
        self,
        threads: int = DEFAULT_WAITING_THREADS,
        calls: int = DEFAULT_WAITING_CALLS,
        *,
        expected: bool = False,
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self.expected = expected
        self._pool = ThreadPoolExecutor(threads, "waiting")
        self._calls = calls
        self._clock = clock
        # Guards what follows; never held while anybody waits.
        self._lock = threading.Lock()
        self._closed = False
        self._number = 0
        self._by_question: dict[Hashable, list[_Attempt]] = {}

    def deferred(
        self, pending: TokenPending, call: Call, attempt: Callable[[], WrittenT]
    ) -> Deferred[WrittenT]:
        """Return the answer that `attempt` will give once `pending` is settled.

        `attempt` may raise `TokenPending` again, for another question, and `CallFailed`.
        """
        return Deferred(lambda deliver: self._begin(pending, _AttemptAt(call, attempt, deliver)))

    def close(self) -> None:
        """Ask no more. Questions under way are let go; what waits is answered without them."""
        with self._lock:
            self._closed = True
        self._pool.shutdown(wait=False)

    def _begin(self, pending: TokenPending, attempt: _Attempt) -> None:
        """Wait for an answer, or go without where too many do."""
        if attempt.asks_in_vain(pending):
            self._go_without(pending, attempt)
            return
        with self._lock:
            full = self._closed or self._number >= self._calls
            if not full:
                self._number += 1
                waiting = self._by_question.setdefault(pending.key, [])
                waiting.append(attempt)
                if len(waiting) == 1:
                    self._pool.submit(self._ask, pending, self._clock())
        if full:
            self._go_without(pending, attempt)

    def _ask(self, pending: TokenPending, since: float) -> None:
        """Ask, in a thread of the pool, and answer all who wait."""
        try:
            if self._is_worth_asking(pending, since):
                pending.fetch()
            else:
                pending.give_up()
        except Exception:
            _log.exception("an issuer could not be asked")
            pending.give_up()
        with self._lock:
            waiting = self._by_question.pop(pending.key)
            self._number -= len(waiting)
        for attempt in waiting:
            self._resume(attempt)

    def _is_worth_asking(self, pending: TokenPending, since: float) -> bool:
        with self._lock:
            if self._closed or self._clock() - since > LONGEST_QUEUE:
                return False
            return any(attempt.is_awaited() for attempt in self._by_question[pending.key])

    def _go_without(self, pending: TokenPending, attempt: _Attempt) -> None:
        pending.give_up()
        self._resume(attempt)

    def _resume(self, attempt: _Attempt) -> None:
        try:
            attempt.make()
        except TokenPending as pending:
            self._begin(pending, attempt)


class _Attempt(Protocol):
    """One call's attempt at an answer, whatever answers are."""

    def make(self) -> None:
        """Make the answer and deliver it, or raise `TokenPending`."""
        ...

    def asks_in_vain(self, pending: TokenPending) -> bool:
        """Tell whether this very question was asked already, and note that it is."""
        ...

    def is_awaited(self) -> bool:
        """Tell whether the caller's deadline has not passed yet."""
        ...


class _AttemptAt(Generic[WrittenT]):
    """The attempt at an answer that is delivered as `WrittenT`."""

    def __init__(
        self, call: Call, make: Callable[[], WrittenT], deliver: Deliver[WrittenT]
    ) -> None:
        self._call = call
        self._make = make
        self._asked: list[Hashable] = []
        self._deliver = deliver

    def make(self) -> None:
        answer: WrittenT | CallFailed
        try:
            if len(self._asked) > _MOST_QUESTIONS:
                raise RuntimeError("what was answered is forgotten before it can be used")
            answer = self._make()
        except TokenPending:
            raise
        except CallFailed as failed:
            answer = failed.kept()
        except Exception:
            _log.exception("a handler failed")
            answer = DEFECT
        try:
            self._deliver(answer)
        except Exception:
            _log.exception("an answer could not be delivered")

    def asks_in_vain(self, pending: TokenPending) -> bool:
        again = pending.key in self._asked
        self._asked.append(pending.key)
        return again

    def is_awaited(self) -> bool:
        return self._call.time_remaining() != 0
