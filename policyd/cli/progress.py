"""How far a long run is: a bar on a terminal, nothing in a pipe."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TypeVar

T = TypeVar("T")


def progress(items: Iterable[T], total: int, what: str) -> Iterable[T]:
    """Yield the items; on a terminal, show on standard error how many of `total` are done.

    The bar goes away at the end, so that what stays is the result.
    """
    if not sys.stderr.isatty():
        return items
    # Only a terminal needs it, and it is slow to load.
    from rich.console import Console
    from rich.progress import track

    return track(items, what, total, console=Console(stderr=True), transient=True)
