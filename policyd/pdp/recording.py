"""Answers that do not leave before their records are safe, or not at all.

With the durability `sync`, an answer waits until its record is on the disk. And where the log can
take no more, `when_full` may say that calls wait and then fail (`block`), or that all are denied
(`deny`). `Keeper` knows the log, and `RecordedAnswering` is the answering that asks it.

The event transport answers many calls in turn, and settles them together: its thread is `grouped`.
Every other thread settles each of its answers, and those that wait at one moment share one write.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from functools import partial
from threading import Lock, Thread, get_ident
from typing import Final

from policyd.audit import DecisionLog, Entry, WhenFull
from policyd.decision.errors import InvalidRequest
from policyd.decision.explain import Explanation
from policyd.decision.model import BatchRequest, Decided, Decision, Request
from policyd.decision.unrecorded import unrecorded
from policyd.pdp.answering import (
    Answering,
    AnswerT,
    Decide,
    DecidedItem,
    Decider,
    Explained,
    Refuse,
    RequestT,
    Write,
)
from policyd.pdp.calls import DEFECT, Call, CallFailed, Deferred, Deliver, WrittenT, start_deferred
from policyd.pdp.waiting import Waiting

_log = logging.getLogger(__name__)
#: Seconds that an answer waits for the log.
PATIENCE: Final = 2.0
#: How often to look whether there is room, in seconds.
_PAUSE: Final = 0.01


class Keeper:
    """Tells whether the log takes records, and waits for them. `refusal` is what calls fail with.

    `sync` is whether answers wait for their records, at most `patience` seconds; `sleep(seconds)`
    waits for room.
    """

    def __init__(
        self,
        log: DecisionLog,
        refusal: CallFailed,
        when_full: WhenFull,
        *,
        sync: bool,
        patience: float = PATIENCE,
        sleep: Callable[[float], object] = time.sleep,
    ) -> None:
        self._log = log
        self.refusal = refusal
        self.when_full = when_full
        self._sync = sync
        self._patience = patience
        self.sleep = sleep
        self._gave_up = False  # calls have waited in vain since there was room last
        self._lock = Lock()
        self._blocked: list[Callable[[], None]] = []
        self._grouped: set[int] = set()
        self._owed: set[int] = set()  # grouped threads with answers that are not settled

    def admits(self) -> bool | None:
        """Tell whether a decision may be made that the log has to take; `None` is not yet, with
        `block`, until `wait_for_room` says. Once calls have waited in vain, further ones do not
        wait, as long as there is no room."""
        if not self._log.full or self.when_full == "drop_oldest":
            self._gave_up = False
            return True
        return False if self.when_full == "deny" or self._gave_up else None

    def wait_for_room(self, told: Callable[[], None]) -> None:
        """Call `told`, from a thread of its own, when there is room or calls have waited for it in
        vain. All that wait share the thread, and the end of the first one's patience."""
        with self._lock:
            self._blocked.append(told)
            if len(self._blocked) > 1:
                return
        Thread(target=self._look_for_room, name="decision-log-room", daemon=True).start()

    def _look_for_room(self) -> None:
        left = int(self._patience / _PAUSE)
        while left and self._log.full:
            self.sleep(_PAUSE)
            left -= 1
        self._gave_up = self._log.full
        with self._lock:
            blocked, self._blocked = self._blocked, []
        for told in blocked:
            told()

    def settled(self) -> bool:
        """Wait for the records of the answers that this thread has made, unless it does so for many
        at a time; tell whether the answers may leave."""
        if not self._sync:
            return True
        thread = get_ident()
        if thread in self._grouped:
            self._owed.add(thread)
            return True
        return self._wait()

    def group(self) -> None:
        """Settle the answers of this thread together from now on, by `settle_group`."""
        self._grouped.add(get_ident())

    def settle_group(self) -> CallFailed | None:
        """Wait for the records of this thread's answers; return what these fail with, if so."""
        thread = get_ident()
        if thread not in self._owed:
            return None
        self._owed.discard(thread)
        return None if self._wait() else self.refusal

    def _wait(self) -> bool:
        return self._log.settled(self._patience) or self.when_full == "drop_oldest"


#: Has one question answered by what is given.
_Ask = Callable[[Answering], WrittenT | Deferred[WrittenT]]


class _Nowhere:
    """A log that keeps nothing, for answers that tell nothing of a decision."""

    def append(self, _entry: Entry) -> None: ...

    def extend(self, _entries: Sequence[Entry], _size: int) -> None: ...


class _Denying:
    """Decides as another does, so that mistakes are told, and answers each decision by a deny."""

    def __init__(self, decider: Decider, denied: Callable[[int], None]) -> None:
        """`denied` is told how many answers were denied."""
        self._decider = decider
        self._count = denied

    def _denied(self, decision: Decision) -> Decision:
        self._count(1)
        return unrecorded(decision)

    def check(self, request: Request) -> Decision:
        return self._denied(self._decider.check(request))

    def check_batch(self, batch: BatchRequest) -> Sequence[Decision | InvalidRequest]:
        return self._all_denied(self._decider.check_batch(batch))

    def check_partially(self, request: Request, unknown: Sequence[str]) -> Decision:
        return self._denied(self._decider.check_partially(request, unknown))

    def check_batch_partially(
        self, batch: BatchRequest, unknown: Sequence[str]
    ) -> Sequence[Decision | InvalidRequest]:
        return self._all_denied(self._decider.check_batch_partially(batch, unknown))

    def filter(self, request: Request) -> Decision:
        return self._denied(self._decider.filter(request))

    def explain(self, request: Request) -> Explanation:
        return Explanation(decision=self.check(request))

    def _all_denied(
        self, answers: Sequence[Decision | InvalidRequest]
    ) -> Sequence[Decision | InvalidRequest]:
        return [self._denied(one) if isinstance(one, Decision) else one for one in answers]


class _Settled(Answering):
    """Answers once the record is safe."""

    def __init__(
        self,
        decider: Decider,
        log: DecisionLog,
        keeper: Keeper,
        default_api: str,
        waiting: Waiting,
    ) -> None:
        super().__init__(decider, log, default_api=default_api, waiting=waiting)
        self._keeper = keeper

    def _answer(
        self,
        decide: Decide[RequestT, AnswerT],
        call: Call,
        question: RequestT,
        size: int,
        write: Write[AnswerT, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        answer = super()._answer(decide, call, question, size, write, refuse)
        if isinstance(answer, Deferred):
            return Deferred(partial(self._begin, answer))
        if not self._keeper.settled():
            raise self._keeper.refusal
        return answer

    def _begin(self, answer: Deferred[WrittenT], deliver: Deliver[WrittenT]) -> None:
        """Have an answer waited for, and deliver it once its record is safe."""

        def settled(written: WrittenT | CallFailed) -> None:
            deliver(written if self._keeper.settled() else self._keeper.refusal)

        answer.begin(settled)


class RecordedAnswering(Answering):
    """Answers as `Answering` does, what the log has taken."""

    def __init__(
        self,
        decider: Decider,
        log: DecisionLog,
        keeper: Keeper,
        *,
        default_api: str = "",
        waiting: Waiting | None = None,
    ) -> None:
        waiting = waiting or Waiting()
        super().__init__(decider, log, default_api=default_api, waiting=waiting)
        self._keeper = keeper
        self._settled = _Settled(decider, log, keeper, default_api, waiting)
        self._denying = Answering(
            _Denying(decider, log.count_denied),
            _Nowhere(),
            default_api=default_api,
            waiting=waiting,
        )

    def _by(self, ask: _Ask[WrittenT]) -> WrittenT | Deferred[WrittenT]:
        """Ask what answers now: something else while the log takes nothing, or the same a little
        later. May raise `CallFailed`."""
        admitted = self._keeper.admits()
        if admitted is None:
            return Deferred(partial(self._wait_for_room, ask))
        if admitted:
            return ask(self._settled)
        if self._keeper.when_full == "deny":
            return ask(self._denying)
        raise self._keeper.refusal

    def _wait_for_room(self, ask: _Ask[WrittenT], deliver: Deliver[WrittenT]) -> None:
        """Have the log looked at until it takes records, and then deliver what `ask` returns."""

        def told() -> None:
            answer: WrittenT | Deferred[WrittenT] | CallFailed
            try:
                answer = ask(self._settled) if self._keeper.admits() else self._keeper.refusal
            except CallFailed as failed:
                answer = failed.kept()
            except Exception:
                _log.exception("a handler failed")
                answer = DEFECT
            if isinstance(answer, Deferred):
                start_deferred(answer, deliver)
            else:
                deliver(answer)

        self._keeper.wait_for_room(told)

    def check(
        self,
        call: Call,
        request: Request,
        size: int,
        write: Write[Decided, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """See `Answering.check`."""
        return self._by(lambda one: one.check(call, request, size, write, refuse))

    def explain(
        self,
        call: Call,
        request: Request,
        size: int,
        write: Write[Explained, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """See `Answering.explain`."""
        return self._by(lambda one: one.explain(call, request, size, write, refuse))

    def check_batch(
        self,
        call: Call,
        batch: BatchRequest,
        size: int,
        write: Write[Sequence[DecidedItem], WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """See `Answering.check_batch`."""
        return self._by(lambda one: one.check_batch(call, batch, size, write, refuse))

    def check_partially(
        self,
        call: Call,
        request: Request,
        unknown: Sequence[str],
        size: int,
        write: Write[Decided, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """See `Answering.check_partially`."""
        return self._by(
            lambda one: one.check_partially(call, request, unknown, size, write, refuse)
        )

    def check_batch_partially(
        self,
        call: Call,
        batch: BatchRequest,
        unknown: Sequence[str],
        size: int,
        write: Write[Sequence[DecidedItem], WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """See `Answering.check_batch_partially`."""
        return self._by(
            lambda one: one.check_batch_partially(call, batch, unknown, size, write, refuse)
        )

    def filter(
        self,
        call: Call,
        request: Request,
        size: int,
        write: Write[Decided, WrittenT],
        refuse: Refuse[WrittenT],
    ) -> WrittenT | Deferred[WrittenT]:
        """See `Answering.filter`."""
        return self._by(lambda one: one.filter(call, request, size, write, refuse))
