"""Counts files of the log in several processes, into one tally.

Each process makes its counter once, and counts some parts of the files. The tallies of the parts
are merged in the order of the files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from typing import Protocol, TypeVar

from policyd.audit.faults import Faults, Place
from policyd.audit.reading import Lines, Part, parts
from policyd.audit.schema import Fault

T = TypeVar("T", bound="Tallied")


class Tallied(Protocol):
    """A tally of lines: their number, and the unusable ones."""

    lines: int
    faults: Faults

    def merge(self: T, other: T, shift: int) -> None:
        """Add the tally of a later part of a file, which begins after `shift` lines."""
        ...


#: Counts lines; the number says how many lines of the part come before them.
Count = Callable[[Iterable[bytes], int], None]
#: Yields its input, and shows the progress out of a number.
Shown = Callable[[Iterable[T], int], Iterable[T]]
_made: list[Callable[[Part], object]] = []


def spread(
    paths: Sequence[Path],
    make: Callable[[], Callable[[Part], T]],
    total: T,
    jobs: int = 1,
    shown: Shown[T] | None = None,
) -> T:
    """Count the lines of files by `jobs` processes into `total`, and return it.

    `make` returns the counter of a part, and is sent to the processes. `shown` sees each part when
    it is finished. Raises `LogUnreadable`.
    """
    listed = parts(paths)
    if jobs > 1 and len(listed) > 1:
        # A spawned process inherits no locks and threads of this one, a forked one would.
        context = get_context("spawn")
        with ProcessPoolExecutor(min(jobs, len(listed)), context, _prepare, (make,)) as pool:
            coming: Iterable[T] = pool.map(_count, listed)  # type: ignore[arg-type]
            return _joined(listed, coming, total, shown)
    count = make()
    return _joined(listed, (count(part) for part in listed), total, shown)


def _joined(listed: Sequence[Part], coming: Iterable[T], total: T, shown: Shown[T] | None) -> T:
    lines: dict[Path, int] = {}
    finished = coming if shown is None else shown(coming, len(listed))
    for part, tally in zip(listed, finished, strict=True):
        before = lines.get(part.path, 0)
        total.merge(tally, before)
        lines[part.path] = before + tally.lines
    return total


def _prepare(make: Callable[[], Callable[[Part], object]]) -> None:
    """Make the counter, once for this process."""
    _made.append(make())


def _count(part: Part) -> object:
    return _made[0](part)


def count_part(part: Part, tally: Tallied, count: Count) -> None:
    """Count the lines of a part, and note those that cannot be read."""

    def trouble(fault: Fault, number: int, problem: str) -> None:
        tally.faults.add(fault, Place(str(part.path), number), problem)

    lines = Lines(part, trouble)
    for chunk in lines.chunks():
        count(chunk, lines.number)
    tally.lines = lines.number
