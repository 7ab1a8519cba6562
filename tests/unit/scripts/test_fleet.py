"""What the simulation of a fleet calls being in step."""

from __future__ import annotations

import pytest

from scripts import fleet


def test_looks_for_policies_are_spread(capsys: pytest.CaptureFixture[str]) -> None:
    assert fleet._policies(100, 0, False)
    assert "without chance 100" in capsys.readouterr().out


@pytest.mark.parametrize(("most", "well"), [(4, True), (5, False)])
def test_half_a_fleet_in_one_second_is_in_step(most: int, well: bool) -> None:
    moments = [1.0 + number / 10 for number in range(most)] + [3.0, 4.0, 5.0]
    assert fleet._spread("looks", 10, moments, moments) is well


def test_a_light_daemon_counts_what_it_does_not_keep() -> None:
    counted = fleet.Counted()
    counted.fail("away")
    assert not counted.whole.is_set()
    counted.confirm()
    assert counted.whole.is_set()
    assert counted.failures == ["away"]
