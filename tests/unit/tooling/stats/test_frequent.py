"""Names that occur most often."""

from __future__ import annotations

import random
from collections import Counter

from policyd.tooling.stats.frequent import Frequent


def test_with_room_for_all_counts_are_exact() -> None:
    names: Frequent[str] = Frequent(room=3)
    for name in "abacab":
        names.add(name)
    assert (names.top(2), names.lost) == ([("a", 3), ("b", 2)], 0)


def test_whatever_comes_counts_are_too_low_by_at_most_what_was_lost() -> None:
    dice = random.Random(1)
    for _ in range(100):
        parts: list[Frequent[int]] = [Frequent(room=8), Frequent(room=8)]
        truth: Counter[int] = Counter()
        for _ in range(400):
            name = min(dice.randrange(60), dice.randrange(60), dice.randrange(60))
            truth[name] += 1
            dice.choice(parts).add(name)
        names, other = parts
        names.merge(other)
        assert len(names.counts) <= 8
        for name, number in truth.items():
            assert number - names.lost <= names.counts.get(name, 0) <= number
