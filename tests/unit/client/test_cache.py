"""What the client keeps of answers, and for how long."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime

from policyd.client import Answer, AnswerCache, Client, Question, Resource
from policyd.pdp.calls import Call
from policyd.server.transport.interface import Unary
from policyd.v1 import authorization_pb2 as messages
from tests.unit.client.test_client import ANSWER, CHECK, client, response

NOW = 1_700_000_000.0


class Clock:
    def __init__(self) -> None:
        self.now = NOW
        self.monotonic = 0.0


def cache(clock: Clock, entries: int = 2, seconds: float = 5.0) -> AnswerCache:
    return AnswerCache(entries, seconds, now=lambda: clock.now, monotonic=lambda: clock.monotonic)


def kept(until: float | None) -> Answer:
    return replace(
        ANSWER, cacheable_until=None if until is None else datetime.fromtimestamp(until, UTC)
    )


def test_keeps_an_answer_until_the_daemon_says() -> None:
    clock = Clock()
    made = cache(clock, seconds=60)
    made.put(b"a", kept(NOW + 4))
    clock.now += 3.9
    assert made.get(b"a") == kept(NOW + 4)
    clock.now += 0.1
    assert made.get(b"a") is None
    clock.now = NOW
    assert made.get(b"a") is None


def test_a_clock_that_is_behind_keeps_nothing_for_long() -> None:
    clock = Clock()
    made = cache(clock)
    made.put(b"a", kept(NOW + 3600))
    clock.monotonic += 4.9
    assert made.get(b"a") is not None
    clock.monotonic += 0.1
    assert made.get(b"a") is None


def test_keeps_nothing_that_may_not_be_kept() -> None:
    made = cache(Clock())
    for until in (None, NOW, NOW - 1):
        made.put(b"a", kept(until))
        assert made.get(b"a") is None


def test_forgets_what_was_used_longest_ago() -> None:
    made = cache(Clock())
    for key in (b"a", b"b"):
        made.put(key, kept(NOW + 4))
    assert made.get(b"a") is not None
    made.put(b"c", kept(NOW + 4))
    assert [made.get(key) is not None for key in (b"a", b"b", b"c")] == [True, False, True]
    made.clear()
    assert made.get(b"a") is None


def test_one_question_is_asked_once_and_another_is_another() -> None:
    asked: list[str] = []

    def check(data: bytes, _call: Call) -> bytes:
        asked.append(messages.CheckRequest.FromString(data).request_id)
        return response().SerializeToString()

    patient = Resource("patient", "p1", {"a": 1, "b": 2})
    first = Question("token", "read", patient, "health", request_id="1")
    with client({CHECK: Unary(check)}) as plain:
        target = plain.target
        with Client(target, cache=cache(Clock(), entries=10)) as made:
            answers = [
                made.ask(first),
                made.ask(replace(first, request_id="2")),
                made.ask(replace(first, access_token="Bearer token\n", request_id="3")),
                made.ask(replace(first, resource=Resource("patient", "p1", {"b": 2, "a": 1}))),
            ]
            assert answers == [ANSWER] * 4
            assert asked == ["1"]
            for other in (
                replace(first, access_token="other"),
                replace(first, action="update"),
                replace(first, context={"ip": "192.0.2.1"}),
                replace(first, resource=Resource("patient", "p1", {"a": 1})),
            ):
                made.ask(other)
            assert len(asked) == 5
