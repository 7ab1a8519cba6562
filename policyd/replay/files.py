"""Replays files of the log into one tally."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from policyd.audit.reading import Part
from policyd.audit.spread import Shown, count_part, spread
from policyd.language.policy import PolicySet
from policyd.replay.counting import Counter, Wanted
from policyd.replay.tally import Tally
from policyd.replay.verdicts import Judge

_ALL = Wanted()


def replay_files(
    paths: Sequence[Path],
    policies: PolicySet,
    baseline: PolicySet | None = None,
    wanted: Wanted = _ALL,
    jobs: int = 1,
    shown: Shown[Tally] | None = None,
) -> Tally:
    """Decide the records of files again; `shown` sees each part as it is finished.

    Raises `LogUnreadable`.
    """
    return spread(paths, partial(_judging, policies, baseline, wanted), Tally(), jobs, shown)


def _judging(
    policies: PolicySet, baseline: PolicySet | None, wanted: Wanted
) -> Callable[[Part], Tally]:
    """Return the function that decides the records of a part again."""
    judge = Judge(policies, baseline)

    def count(part: Part) -> Tally:
        counter = Counter(judge, wanted, str(part.path))
        count_part(part, counter.tally, counter.count)
        return counter.tally

    return count
