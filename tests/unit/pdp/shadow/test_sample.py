"""A sample of decisions, until there is time for them."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

import msgspec

from policyd.audit import Entry
from policyd.audit.queue import ENTRY_BYTES
from policyd.decision.model import Partial
from policyd.pdp.shadow.sample import Sample
from tests.support.audit import entry
from tests.support.daemon import PATIENCE


def always(number: float) -> Callable[[], float]:
    return lambda: number


def opened(rate: float = 1.0, uniform: float = 0.0, **bounds: int) -> Sample:
    made = Sample(rate, **bounds, uniform=always(uniform))
    made.open = True
    return made


def names(entries: Sequence[Entry]) -> list[str]:
    return [one.decision_id for one in entries]


def heavy(name: str, weight: int) -> Entry:
    made = entry(name)
    details = msgspec.structs.replace(made.details, weight=weight)
    return Entry(details, made.decision_id, made.item, made.decision)


def test_what_is_chosen_comes_in_order() -> None:
    sample = opened(0.5, uniform=0.49)
    sample.observe([entry("a"), entry("b")])
    sample.observe([entry("c")])
    assert names(sample.take()) == ["a", "b", "c"]
    assert sample.dropped == 0


def test_what_is_not_chosen_does_not() -> None:
    sample = opened(0.5, uniform=0.5)
    sample.observe([entry("a")])
    sample.wake()
    assert sample.take() == []


def test_a_closed_sample_takes_nothing() -> None:
    sample = Sample(1.0)
    sample.observe([entry("a")])
    sample.wake()
    assert sample.take() == []


def test_answers_to_questions_with_unknown_facts_are_no_decisions() -> None:
    sample = opened()
    made = entry("a")
    partial = msgspec.structs.replace(made.decision, partial=Partial("maybe"))
    sample.observe([Entry(made.details, "a", made.item, partial), entry("b")])
    assert names(sample.take()) == ["b"]


def test_what_finds_no_room_is_dropped_and_counted() -> None:
    sample = opened(capacity=2)
    sample.observe([entry("a"), entry("b"), entry("c")])
    assert sample.dropped == 1
    assert names(sample.take()) == ["a", "b"]
    sample.observe([entry("d")])
    assert names(sample.take()) == ["d"]


def test_bytes_are_bounded_too_but_one_always_has_room() -> None:
    sample = opened(capacity_bytes=2 * ENTRY_BYTES)
    sample.observe([heavy("a", 10 * ENTRY_BYTES), entry("b")])
    assert sample.dropped == 1
    assert names(sample.take()) == ["a"]
    sample.observe([entry("c"), entry("d"), entry("e")])
    assert names(sample.take()) == ["c", "d"]
    assert sample.dropped == 2


def test_who_waits_gets_what_comes() -> None:
    sample = opened()
    found: list[str] = []
    waiting = threading.Thread(target=lambda: found.extend(names(sample.take())))
    waiting.start()
    sample.observe([entry("a")])
    waiting.join(PATIENCE)
    assert found == ["a"]
