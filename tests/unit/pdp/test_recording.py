"""Answers that wait for their records, and what becomes of them where there is no room."""

from __future__ import annotations

import queue
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

import pytest

from policyd.audit import DecisionLog, Mask, Recorder, WhenFull
from policyd.decision.errors import InvalidRequest
from policyd.decision.model import Decided, Request
from policyd.pdp.answering import NoDecision
from policyd.pdp.calls import CallFailed, Deferred, StatusCode, start_deferred
from policyd.pdp.recording import Keeper, RecordedAnswering
from policyd.reasons import Reason
from tests.support.audit import MemorySink, NoCall
from tests.support.logs import POLICY, loaded
from tests.support.program import engine, token

REFUSAL = CallFailed(StatusCode.UNAVAILABLE, "the log takes no records")
QUESTION = Request("a.b.c", "health", "read", "patient", "p1", {"sealed": False})


@contextmanager
def answering(
    sink: MemorySink, when_full: WhenFull, *, sync: bool = True, capacity: int = 100
) -> Iterator[tuple[RecordedAnswering, Keeper, DecisionLog]]:
    """Answer questions about the policy of `tests.support.logs`, with a log of one's own."""
    log = DecisionLog(Recorder(Mask()), sink, capacity, durability="sync" if sync else "interval")
    keeper = Keeper(log, REFUSAL, when_full, sync=sync, patience=0.2)
    decider = engine(loaded(POLICY), token(["read:patients"]))
    if sync:
        log.start()
    yield RecordedAnswering(decider, log, keeper), keeper, log
    sink.unsettled, sink.room = None, 1 << 20
    if sync:
        log.close()


def ask(answers: RecordedAnswering, request: Request = QUESTION) -> Decided:
    """Return what is answered. Raises `CallFailed`."""

    def refuse(error: NoDecision) -> NoReturn:
        raise error

    found = answers.check(NoCall(), request, 100, lambda decided: decided, refuse)
    return waited_for(found) if isinstance(found, Deferred) else found


def waited_for(deferred: Deferred[Decided]) -> Decided:
    """Return what comes later. Raises `CallFailed`."""
    came: queue.SimpleQueue[Decided | CallFailed] = queue.SimpleQueue()
    start_deferred(deferred, came.put)
    answer = came.get(timeout=30)
    if isinstance(answer, CallFailed):
        raise answer
    return answer


def test_an_answer_leaves_when_its_record_is_on_the_disk() -> None:
    sink = MemorySink()
    with answering(sink, "block") as (answers, _, log):
        for number in range(1, 4):
            decision, name = ask(answers)
            assert decision.allowed
            assert sink.data.count(b"\n") == number
            assert name.encode() in sink.data
            assert sink.settled >= number
        assert log.dropped == 0


@pytest.mark.parametrize("when_full", ["block", "deny"])
def test_an_answer_whose_record_is_not_safe_does_not_leave(when_full: WhenFull) -> None:
    sink = MemorySink()
    sink.unsettled = "the disk is gone"
    with answering(sink, when_full) as (answers, _, log):
        with pytest.raises(CallFailed) as caught:
            ask(answers)
        assert caught.value is REFUSAL
        assert log.problem == "the disk is gone"


def test_with_drop_oldest_answers_leave_all_the_same() -> None:
    sink = MemorySink()
    sink.unsettled = "the disk is gone"
    with answering(sink, "drop_oldest") as (answers, _, _):
        assert ask(answers)[0].allowed


def test_where_records_cannot_be_written_all_is_denied() -> None:
    sink = MemorySink()
    sink.room = 0
    with answering(sink, "deny") as (answers, _, log):
        with pytest.raises(CallFailed):
            ask(answers)  # which finds out
        waiting = log.waiting
        decision, _ = ask(answers)
        assert (decision.allowed, decision.reason) == (False, Reason.LOG_UNAVAILABLE)
        assert (decision.http_status, decision.www_authenticate) == (503, "")
        assert (decision.rules, decision.token, decision.cacheable_until) == ((), None, None)
        assert log.waiting == waiting
        with pytest.raises(InvalidRequest):  # a mistake stays one
            ask(answers, Request("a.b.c", "health", "sing", "patient"))
        sink.room = 1 << 20
        assert log.denied == 1


def test_calls_wait_for_room_and_only_once() -> None:
    sink = MemorySink()
    with answering(sink, "block", sync=False, capacity=1) as (answers, keeper, log):
        assert ask(answers)[0].allowed
        pauses: list[float] = []
        keeper.sleep = pauses.append
        with pytest.raises(CallFailed):
            ask(answers)
        waited = len(pauses)
        assert waited > 1
        with pytest.raises(CallFailed):
            ask(answers)
        assert len(pauses) == waited
        log.drain()
        assert ask(answers)[0].allowed
        keeper.sleep = lambda _: log.drain()
        assert ask(answers)[0].allowed
        assert log.dropped == 0


def test_calls_that_wait_for_room_hold_no_thread_and_share_one() -> None:
    sink = MemorySink()
    with answering(sink, "block", sync=False, capacity=3) as (answers, keeper, log):
        for _ in range(3):
            ask(answers)
        gate = threading.Event()

        def sleep(_: float) -> None:
            gate.wait(30)
            log.drain()

        keeper.sleep = sleep
        came: queue.SimpleQueue[Decided | CallFailed] = queue.SimpleQueue()
        for _ in range(5):
            found = answers.check(NoCall(), QUESTION, 100, lambda decided: decided, _never)
            assert isinstance(found, Deferred)
            start_deferred(found, came.put)
        waiting = [one for one in threading.enumerate() if one.name == "decision-log-room"]
        assert len(waiting) == 1
        assert came.empty()
        gate.set()
        answered = [came.get(timeout=30) for _ in range(5)]
        # There is room for three; the others would wait in vain at once.
        failed = [one for one in answered if isinstance(one, CallFailed)]
        assert len(failed) == 2
        assert log.dropped == 0


def _never(error: NoDecision) -> NoReturn:
    raise error


def test_a_thread_may_settle_its_answers_together() -> None:
    sink = MemorySink()
    with answering(sink, "block") as (answers, keeper, _):
        sink.gate.clear()

        def turn() -> None:
            keeper.group()
            assert keeper.settle_group() is None  # nothing is owed
            for _ in range(5):
                ask(answers)
            sink.gate.set()
            failures.append(keeper.settle_group())
            written.append(sink.data.count(b"\n"))

        failures: list[CallFailed | None] = []
        written: list[int] = []
        thread = threading.Thread(target=turn)
        thread.start()
        thread.join()
        assert (failures, written) == ([None], [5])


def test_a_group_fails_together() -> None:
    sink = MemorySink()
    sink.unsettled = "the disk is gone"
    with answering(sink, "block") as (answers, keeper, _):
        keeper.group()
        ask(answers)
        assert keeper.settle_group() is REFUSAL
        assert keeper.settle_group() is None
