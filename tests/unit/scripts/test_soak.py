"""What the soak calls a leak."""

from __future__ import annotations

import pytest

from scripts.soak import Sample, losses

REST = Sample(80.0, 14, 12)


@pytest.mark.parametrize(
    ("after", "memory", "found"),
    [
        (REST, [82, 84, 84, 84], []),
        (Sample(84.0, 18, 16), [82, 84, 84, 84], []),
        (Sample(84.0, 19, 12), [82, 84, 84, 84], ["descriptors: 14 before, 19 after"]),
        (Sample(84.0, 14, 17), [82, 84, 84, 84], ["threads: 12 before, 17 after"]),
        (REST, [80, 85, 88, 89], ["memory: 80 MB after a quarter, 89 MB at the end"]),
        (REST, [200], []),
    ],
)
def test_losses(after: Sample, memory: list[float], found: list[str]) -> None:
    samples = [Sample(resident, 15, 12) for resident in memory]
    assert losses("event", REST, after, samples) == found
