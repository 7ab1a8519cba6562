"""Quantiles of durations."""

from __future__ import annotations

import random
from math import ceil

from policyd.tooling.stats.latency import Latency


def test_quantiles_are_too_high_by_at_most_an_eighth() -> None:
    dice = random.Random(1)
    for _ in range(50):
        durations = sorted(int(dice.lognormvariate(4, 2)) for _ in range(300))
        one, other = Latency(), Latency()
        for duration in durations:
            dice.choice((one, other)).add(duration)
        one.merge(other)
        for share in (0.001, 0.5, 0.9, 0.99, 1.0):
            exact = durations[ceil(len(durations) * share) - 1]
            found = one.quantile(share)
            assert found is not None
            assert exact <= found <= exact + exact // 8
        assert one.quantile(1.0) == durations[-1]


def test_of_nothing_there_is_none() -> None:
    assert Latency().quantile(0.5) is None
