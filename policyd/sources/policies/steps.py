"""The steps of an activation, in their order, each timed and counted.

What comes from a source becomes what decides in eight steps. The first three are the source's:
a directory needs only the third. The others are the same for every source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from threading import Lock

import msgspec


class Step(StrEnum):
    """What is done with a set, in this order; where one fails, the set before keeps serving."""

    FETCH = "fetch"
    VERIFY = "verify"
    READ = "read"
    LOAD = "load"
    TESTS = "tests"
    PROOFS = "proofs"
    SWAP = "swap"
    REMEMBER = "remember"


class StepFigures(msgspec.Struct, frozen=True):
    """How often a step was taken, how often it failed, and the seconds that it took in all."""

    runs: int = 0
    failed: int = 0
    seconds: float = 0.0


class Steps:
    """Counts steps. Any thread may take one, and any may read the figures."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` gives seconds of any origin."""
        self._clock = clock
        self._lock = Lock()
        self._figures: dict[Step, StepFigures] = {step: StepFigures() for step in Step}

    @contextmanager
    def take(self, step: Step) -> Iterator[None]:
        """Take a step: what raises in here failed."""
        began, failed = self._clock(), True
        try:
            yield
            failed = False
        finally:
            self.count(step, self._clock() - began, failed=failed)

    def count(self, step: Step, seconds: float, *, failed: bool) -> None:
        """Count a step that somebody else timed."""
        with self._lock:
            old = self._figures[step]
            self._figures[step] = StepFigures(
                old.runs + 1, old.failed + failed, old.seconds + seconds
            )

    @property
    def figures(self) -> Mapping[Step, StepFigures]:
        """The figures of each step."""
        with self._lock:
            return dict(self._figures)
