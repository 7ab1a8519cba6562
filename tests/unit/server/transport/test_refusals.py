"""Refusals go out at a bounded rate, in their order, and none is lost."""

from __future__ import annotations

from functools import partial

from policyd.server.transport.refusals import BURST, MOST, RATE, Refusals

_AT_ONCE = int(BURST)


def filled(count: int) -> tuple[Refusals, list[int]]:
    refusals = Refusals()
    sent: list[int] = []
    for number in range(count):
        refusals.add(partial(sent.append, number))
    return refusals, sent


def test_a_few_are_sent_at_once() -> None:
    refusals, sent = filled(3)
    refusals.send(1000.0)
    assert sent == [0, 1, 2]
    assert not refusals


def test_many_are_sent_over_time_in_their_order() -> None:
    refusals, sent = filled(_AT_ONCE + 20)
    refusals.send(1000.0)
    assert sent == list(range(_AT_ONCE))
    refusals.send(1000.0 + 10.5 / RATE)
    assert len(sent) == _AT_ONCE + 10
    refusals.send(1000.0 + 1.0)
    assert sent == list(range(_AT_ONCE + 20))


def test_time_without_refusals_allows_no_more_than_a_burst() -> None:
    refusals, sent = filled(0)
    refusals.send(1000.0)
    for number in range(3 * _AT_ONCE):
        refusals.add(partial(sent.append, number))
    refusals.send(5000.0)
    assert len(sent) == _AT_ONCE


def test_where_too_many_wait_the_oldest_is_sent() -> None:
    refusals, sent = filled(MOST + 2)
    assert (sent, len(refusals)) == ([0, 1], MOST)


def test_at_the_end_all_are_sent() -> None:
    refusals, sent = filled(MOST)
    refusals.send_all()
    assert (len(sent), len(refusals)) == (MOST, 0)
