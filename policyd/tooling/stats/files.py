"""Files of the log into figures."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from policyd.audit.reading import Part
from policyd.audit.spread import Shown, count_part, spread
from policyd.tooling.stats.counting import Counter, Figures, Scopes


def read_figures(
    paths: Sequence[Path], scopes: Scopes, jobs: int = 1, shown: Shown[Figures] | None = None
) -> Figures:
    """Count the records of files; `shown` sees each part as it is finished.

    Raises `LogUnreadable`.
    """
    return spread(paths, partial(_counting, scopes), Figures(), jobs, shown)


def _counting(scopes: Scopes) -> Callable[[Part], Figures]:
    def count(part: Part) -> Figures:
        counter = Counter(scopes, str(part.path))
        count_part(part, counter.figures, counter.count)
        return counter.figures

    return count
