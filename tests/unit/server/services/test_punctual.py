"""Answers in time: each delivered once, the late ones replaced."""

from __future__ import annotations

import threading
from queue import SimpleQueue

import pytest

from policyd.pdp.calls import DEFECT, CallFailed, Deferred, Deliver
from policyd.server.services.punctual import LONGEST, Punctual, patience
from tests.support.daemon import PATIENCE

Brought = SimpleQueue[str | CallFailed]


class Awaited:
    """An answer that comes when the test says so."""

    def __init__(self) -> None:
        self.deliver: Deliver[str]
        self.deferred: Deferred[str] = Deferred(self._begin)

    def _begin(self, deliver: Deliver[str]) -> None:
        self.deliver = deliver


def begun(punctual: Punctual, answer: Deferred[str], remaining: float | None) -> Brought:
    brought: Brought = SimpleQueue()
    punctual.deferred(answer, remaining, "late").begin(brought.put)
    return brought


def test_an_answer_in_time_is_delivered_once() -> None:
    answer = Awaited()
    brought = begun(Punctual(), answer.deferred, 1000.0)
    answer.deliver("in time")
    answer.deliver("again")
    assert brought.get(timeout=PATIENCE) == "in time"
    assert brought.empty()


def test_in_place_of_a_late_one_another_is_delivered() -> None:
    first, second, punctual = Awaited(), Awaited(), Punctual()
    later = begun(punctual, first.deferred, 1000.0)
    # The thread already waits for the first, which is due much later.
    brought = begun(punctual, second.deferred, 0.02)
    assert brought.get(timeout=PATIENCE) == "late"
    second.deliver("too late")
    assert brought.empty()
    first.deliver("in time")
    assert later.get(timeout=PATIENCE) == "in time"


def test_what_was_answered_expires_without_a_word() -> None:
    now = [0.0]
    punctual = Punctual(lambda: now[0])
    answer = Awaited()
    brought = begun(punctual, answer.deferred, 10.0)
    answer.deliver("in time")
    now[0] = 20.0
    assert begun(punctual, Awaited().deferred, -1000.0).get(timeout=PATIENCE) == "late"
    assert brought.get(timeout=PATIENCE) == "in time"
    assert brought.empty()


def test_one_thread_looks_and_keeps_no_process_alive() -> None:
    before = set(threading.enumerate())
    punctual, answers = Punctual(), [Awaited() for _ in range(3)]
    brought = [begun(punctual, one.deferred, 1000.0) for one in answers]
    (looking,) = set(threading.enumerate()) - before
    assert looking.daemon
    for one in answers:
        one.deliver("in time")
    assert [one.get(timeout=PATIENCE) for one in brought] == ["in time"] * 3


def test_the_thread_ends_when_nothing_is_awaited_and_another_begins_later() -> None:
    before, punctual = set(threading.enumerate()), Punctual()
    for _ in range(2):
        assert begun(punctual, Awaited().deferred, 0.02).get(timeout=PATIENCE) == "late"
        for looking in set(threading.enumerate()) - before:
            looking.join(PATIENCE)
            assert not looking.is_alive()


def test_a_failure_to_begin_is_an_answer() -> None:
    def begin(_deliver: Deliver[str]) -> None:
        raise RuntimeError("defect")

    assert begun(Punctual(), Deferred(begin), 1000.0).get(timeout=PATIENCE) is DEFECT


@pytest.mark.parametrize(
    ("remaining", "patient"),
    [(None, LONGEST), (1e9, LONGEST), (0.2, 0.15), (5.0, 4.5), (0.02, 0.01), (0.0, 0.0)],
)
def test_an_answer_has_to_get_back(remaining: float | None, patient: float) -> None:
    assert patience(remaining) == pytest.approx(patient)
