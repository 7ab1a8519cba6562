"""Counts over time."""

from __future__ import annotations

import random

from policyd.audit.timeline import Timeline


def test_steps_are_joined_where_there_are_too_many() -> None:
    line = Timeline()
    for minute in range(10_000):
        line.add(minute * 60.0)
    assert sum(line.counts.values()) == 10_000
    assert len(line.counts) <= 96
    assert line.width == 60 * 128
    assert line.series(0, 9_999 * 60.0)[:2] == [128, 128]


def test_merged_is_as_if_counted_together() -> None:
    dice = random.Random(1)
    for _ in range(50):
        span = 10 ** dice.randint(1, 8)
        times = [dice.uniform(-span, span) for _ in range(200)]
        together, one, other = Timeline(), Timeline(), Timeline()
        for number, time in enumerate(times):
            together.add(time)
            (one, other)[number % 2].add(time)
        one.merge(other)
        assert (one.width, one.counts) == (together.width, together.counts)
