"""What a tenth of the soak has, and what is drift."""

from __future__ import annotations

from array import array

import msgspec
import pytest

from scripts.soak_flat import Tenth, drift, tenth

FLAT = [Tenth(float(n), 1000, 100.0, 1.0, 3.0, 20.0, 80.0) for n in range(10)]


def changed(**last: tuple[float, float]) -> list[Tenth]:
    """Return ten tenths, the last two of which have other values."""
    return FLAT[:8] + [
        msgspec.structs.replace(FLAT[8 + n], **{name: both[n] for name, both in last.items()})
        for n in (0, 1)
    ]


@pytest.mark.parametrize(
    ("tenths", "found"),
    [
        (FLAT, ""),
        (changed(resident=(82.3, 82.3)), ""),
        (changed(resident=(82.5, 83)), "memory grew by 3%"),
        (changed(resident=(79, 120)), ""),
        (changed(median=(1.3, 1.4)), "the median grew by 30%"),
        (changed(high=(4.6, 9)), "the 99th percentile grew by 53%"),
        (changed(slowest=(500, 500)), ""),
        (changed(resident=(90, 90))[:9], ""),
    ],
)
def test_drift(tenths: list[Tenth], found: str) -> None:
    assert "; ".join(drift(tenths)).startswith(found)
    assert bool(drift(tenths)) is bool(found)


def test_a_tenth_has_its_percentiles() -> None:
    found = tenth(6.0, 50.0, array("d", [n / 1000 for n in range(100, -1, -1)]), 80.0)
    assert (found.answers, found.median, found.high, found.slowest) == (101, 50.0, 99.0, 100.0)
    assert found.rate == pytest.approx(2.02)
