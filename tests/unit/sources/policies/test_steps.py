"""Steps of activations, timed and counted."""

from __future__ import annotations

from itertools import count

import pytest

from policyd.sources.policies import Step, StepFigures, Steps


def test_counts_what_went_well_and_what_did_not() -> None:
    ticks = count()
    steps = Steps(lambda: float(next(ticks)))
    with steps.take(Step.LOAD):
        pass
    with pytest.raises(ZeroDivisionError), steps.take(Step.LOAD):
        raise ZeroDivisionError
    assert steps.figures[Step.LOAD] == StepFigures(runs=2, failed=1, seconds=2.0)
    assert steps.figures[Step.SWAP] == StepFigures()
    assert list(steps.figures) == list(Step)
