"""Calls that wait for issuers: one question once at a time, bounded, and everyone is answered."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue

import pytest

from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.waiting import LONGEST_QUEUE, Waiting
from policyd.tokens.endpoints.pending import TokenPending
from tests.support.audit import NoCall
from tests.support.daemon import PATIENCE
from tests.support.tokens import Clock

Answer = bytes | CallFailed


class Questions:
    """Questions to an issuer, which answers when it is told to. `asked` are those it got."""

    def __init__(self) -> None:
        self.asked: SimpleQueue[str] = SimpleQueue()
        self.number = 0
        self.known: dict[str, str] = {}
        self._answers: dict[str, threading.Event] = {}

    def attempt(self, *names: str) -> Callable[[], bytes]:
        """Return an attempt that needs the answers to all of these questions."""

        def make() -> bytes:
            for name in names:
                if name not in self.known:
                    raise self.pending(name)
            return " ".join(self.known[name] for name in names).encode()

        return make

    def pending(self, name: str) -> TokenPending:
        return TokenPending(name, lambda: self._fetch(name), lambda: self._give_up(name))

    def answer(self, name: str) -> None:
        self._event(name).set()

    def _event(self, name: str) -> threading.Event:
        return self._answers.setdefault(name, threading.Event())

    def _fetch(self, name: str) -> None:
        self.number += 1
        self.asked.put(name)
        assert self._event(name).wait(PATIENCE)
        self.known[name] = f"{name}!"

    def _give_up(self, name: str) -> None:
        self.known[name] = f"{name}?"


class DeadCall(NoCall):
    """A call whose deadline has passed."""

    def time_remaining(self) -> float | None:
        return 0.0


@pytest.fixture
def questions() -> Questions:
    return Questions()


@pytest.fixture
def waiting() -> Iterator[Waiting]:
    made = Waiting(threads=2, calls=4)
    yield made
    made.close()


def begin(
    waiting: Waiting, attempt: Callable[[], bytes], call: NoCall | None = None
) -> SimpleQueue[Answer]:
    """Make an attempt that must wait; return where its answer will be."""
    delivered: SimpleQueue[Answer] = SimpleQueue()
    with pytest.raises(TokenPending) as caught:
        attempt()
    waiting.deferred(caught.value, call or NoCall(), attempt).begin(delivered.put)
    return delivered


def test_asks_and_answers(waiting: Waiting, questions: Questions) -> None:
    delivered = begin(waiting, questions.attempt("a"))
    assert questions.asked.get(timeout=PATIENCE) == "a"
    assert delivered.empty()
    questions.answer("a")
    assert delivered.get(timeout=PATIENCE) == b"a!"


def test_one_question_is_asked_once(waiting: Waiting, questions: Questions) -> None:
    delivered = [begin(waiting, questions.attempt("a")) for _ in range(4)]
    questions.answer("a")
    assert [each.get(timeout=PATIENCE) for each in delivered] == [b"a!"] * 4
    assert questions.number == 1


def test_one_question_may_lead_to_another(waiting: Waiting, questions: Questions) -> None:
    """An opaque token, then its user."""
    delivered = begin(waiting, questions.attempt("token", "user"))
    questions.answer("token")
    questions.answer("user")
    assert delivered.get(timeout=PATIENCE) == b"token! user!"


def test_past_the_limit_there_is_an_answer_at_once(waiting: Waiting, questions: Questions) -> None:
    places = [begin(waiting, questions.attempt("a")) for _ in range(4)]
    assert begin(waiting, questions.attempt("b")).get(timeout=0) == b"b?"
    questions.answer("a")
    assert [each.get(timeout=PATIENCE) for each in places] == [b"a!"] * 4
    # The places are free again, each of them.
    places = [begin(waiting, questions.attempt("c")) for _ in range(4)]
    assert begin(waiting, questions.attempt("d")).get(timeout=0) == b"d?"
    questions.answer("c")
    assert [each.get(timeout=PATIENCE) for each in places] == [b"c!"] * 4


def test_no_question_waits_long_for_a_free_thread(questions: Questions) -> None:
    clock = Clock()
    waiting = Waiting(threads=1, calls=4, clock=clock)
    first = begin(waiting, questions.attempt("a"))
    assert questions.asked.get(timeout=PATIENCE) == "a"
    second = begin(waiting, questions.attempt("b"))
    clock.move(LONGEST_QUEUE + 0.1)
    questions.answer("a")
    assert first.get(timeout=PATIENCE) == b"a!"
    assert second.get(timeout=PATIENCE) == b"b?"
    assert questions.number == 1
    waiting.close()


def test_nothing_is_asked_for_callers_that_are_gone(questions: Questions) -> None:
    waiting = Waiting(threads=1)
    first = begin(waiting, questions.attempt("a"))
    assert questions.asked.get(timeout=PATIENCE) == "a"
    gone = begin(waiting, questions.attempt("b"), DeadCall())
    questions.answer("a")
    assert first.get(timeout=PATIENCE) == b"a!"
    assert gone.get(timeout=PATIENCE) == b"b?"
    assert questions.number == 1
    waiting.close()


def test_a_question_is_asked_while_one_of_its_callers_waits(questions: Questions) -> None:
    waiting = Waiting(threads=1)
    first = begin(waiting, questions.attempt("a"))
    assert questions.asked.get(timeout=PATIENCE) == "a"
    callers = [begin(waiting, questions.attempt("b"), call) for call in (DeadCall(), NoCall())]
    questions.answer("a")
    questions.answer("b")
    assert first.get(timeout=PATIENCE) == b"a!"
    assert [caller.get(timeout=PATIENCE) for caller in callers] == [b"b!", b"b!"]
    waiting.close()


def test_a_call_may_wait_for_several_questions_and_not_for_more(
    waiting: Waiting, questions: Questions, caplog: pytest.LogCaptureFixture
) -> None:
    for number, letters in enumerate(("abcd", "efghi")):
        for letter in letters:
            questions.answer(letter)
        answer = begin(waiting, questions.attempt(*letters)).get(timeout=PATIENCE)
        assert isinstance(answer, CallFailed) is bool(number)
    assert "forgotten before it can be used" in caplog.text


def test_a_question_that_was_asked_in_vain_is_given_up(waiting: Waiting) -> None:
    """What was fetched does not stay: asking again for ever would be worse than an answer."""
    fetched: list[bool] = []
    given_up: list[bool] = []

    def attempt() -> bytes:
        if given_up:
            return b"without"
        raise TokenPending("a", lambda: fetched.append(True), lambda: given_up.append(True))

    assert begin(waiting, attempt).get(timeout=PATIENCE) == b"without"
    assert (len(fetched), len(given_up)) == (1, 1)


def test_an_answer_that_nothing_settles_is_a_defect(
    waiting: Waiting, caplog: pytest.LogCaptureFixture
) -> None:
    def attempt() -> bytes:
        raise TokenPending("a", lambda: None, lambda: None)

    answer = begin(waiting, attempt).get(timeout=PATIENCE)
    assert isinstance(answer, CallFailed)
    assert answer.code is StatusCode.INTERNAL
    assert "forgotten before it can be used" in caplog.text


def test_a_fetch_that_breaks_is_given_up(
    waiting: Waiting, questions: Questions, caplog: pytest.LogCaptureFixture
) -> None:
    def fetch() -> None:
        raise ZeroDivisionError

    pending = TokenPending("a", fetch, lambda: questions.known.update(a="a?"))
    delivered: SimpleQueue[Answer] = SimpleQueue()
    waiting.deferred(pending, NoCall(), questions.attempt("a")).begin(delivered.put)
    assert delivered.get(timeout=PATIENCE) == b"a?"
    assert "ZeroDivisionError" in caplog.text


def test_failures_are_answers(waiting: Waiting, caplog: pytest.LogCaptureFixture) -> None:
    def refuse() -> bytes:
        raise CallFailed(StatusCode.INVALID_ARGUMENT, "no")

    def break_down() -> bytes:
        raise ZeroDivisionError

    for attempt, code in (
        (refuse, StatusCode.INVALID_ARGUMENT),
        (break_down, StatusCode.INTERNAL),
    ):
        delivered: SimpleQueue[Answer] = SimpleQueue()
        pending = TokenPending("a", lambda: None, lambda: None)
        waiting.deferred(pending, NoCall(), attempt).begin(delivered.put)
        answer = delivered.get(timeout=PATIENCE)
        assert isinstance(answer, CallFailed)
        assert answer.code is code


def test_an_answer_that_cannot_be_delivered_keeps_no_other(
    waiting: Waiting, questions: Questions, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(_answer: Answer) -> None:
        logging.getLogger(__name__).info("asked to deliver")
        raise ZeroDivisionError

    waiting.deferred(questions.pending("a"), NoCall(), questions.attempt("a")).begin(refuse)
    second = begin(waiting, questions.attempt("a"))
    questions.answer("a")
    assert second.get(timeout=PATIENCE) == b"a!"
    assert "could not be delivered" in caplog.text


def test_closing_answers_all_who_wait(questions: Questions) -> None:
    waiting = Waiting(threads=1)
    first = begin(waiting, questions.attempt("a"))
    assert questions.asked.get(timeout=PATIENCE) == "a"
    second = begin(waiting, questions.attempt("b"))
    waiting.close()
    assert begin(waiting, questions.attempt("c")).get(timeout=0) == b"c?"
    questions.answer("a")
    assert first.get(timeout=PATIENCE) == b"a!"
    assert second.get(timeout=PATIENCE) == b"b?"
    assert questions.number == 1


def test_closing_ends_the_threads(questions: Questions) -> None:
    waiting = Waiting(threads=1)
    before = set(threading.enumerate())
    questions.answer("a")
    assert begin(waiting, questions.attempt("a")).get(timeout=PATIENCE) == b"a!"
    (thread,) = set(threading.enumerate()) - before
    waiting.close()
    thread.join(PATIENCE)
    assert not thread.is_alive()
