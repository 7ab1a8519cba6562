"""The steps of an activation, in their order, each timed and counted.

Eight steps lead from a source to decisions. The first three belong to the source; a directory needs
only the third. The others are the same for every source.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from enum import StrEnum
from threading import Lock

import msgspec


class Step(StrEnum):
    """The steps of an activation, in this order; if one fails, the previous set keeps serving."""

    FETCH = "fetch"
    VERIFY = "verify"
    READ = "read"
    LOAD = "load"
    TESTS = "tests"
    PROOFS = "proofs"
    SWAP = "swap"
    REMEMBER = "remember"


class StepFigures(msgspec.Struct, frozen=True):
    """How often a step ran, how often it failed, and its total seconds."""

    runs: int = 0
    failed: int = 0
    seconds: float = 0.0


class Steps:
    """Counts steps. Safe for use by several threads."""

    def __init__(self, clock: Callable[[], float] = time.perf_counter) -> None:
        """`clock` gives seconds of any origin."""
        self._clock = clock
        self._lock = Lock()
        self._figures: dict[Step, StepFigures] = {step: StepFigures() for step in Step}

    @contextmanager
    def take(self, step: Step) -> Iterator[None]:
        """Time and count a step; an exception in the block counts as its failure."""
        began, failed = self._clock(), True
        try:
            yield
            failed = False
        finally:
            self.count(step, self._clock() - began, failed=failed)

    def count(self, step: Step, seconds: float, *, failed: bool) -> None:
        """Count a step that the caller timed."""
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
