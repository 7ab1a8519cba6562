"""Files of the log into one tally, by several processes.

Each process makes what counts, once, and counts some parts of the files. The tallies of the parts
are joined in the order of the files.
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
    """What is known of some lines: how many there are, and which are of no use."""

    lines: int
    faults: Faults

    def merge(self: T, other: T, shift: int) -> None:
        """Add what is known of a later part of a file, of which `shift` lines come before it."""
        ...


#: Counts lines; the number is how many come before them in their part.
Count = Callable[[Iterable[bytes], int], None]
#: Yields what comes, and shows how many of the number have come.
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

    `make` returns what counts a part; it is sent to the processes. `shown` sees each part as it is
    finished. Raises `LogUnreadable`.
    """
    listed = parts(paths)
    if jobs > 1 and len(listed) > 1:
        # A process that is started anew inherits no lock and no thread of this one.
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
    """Make what counts, once for this process."""
    _made.append(make())


def _count(part: Part) -> object:
    return _made[0](part)


def count_part(part: Part, tally: Tallied, count: Count) -> None:
    """Read a part, have its lines counted, and note those that cannot be had."""

    def trouble(fault: Fault, number: int, problem: str) -> None:
        tally.faults.add(fault, Place(str(part.path), number), problem)

    lines = Lines(part, trouble)
    for chunk in lines.chunks():
        count(chunk, lines.number)
    tally.lines = lines.number
