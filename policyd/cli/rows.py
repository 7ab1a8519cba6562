"""How the pages of operators are laid out: a name, and lines beside it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import datetime
from typing import TYPE_CHECKING

import click

from policyd.cli.output import has_colours, plural
from policyd.diagnostics.terminal import printable

if TYPE_CHECKING:
    from policyd.server.wire.admin import PolicyStatus

_STEPS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


def rows(name: str, lines: Iterable[str]) -> Iterator[str]:
    """Yield lines, the first of them with a name before it."""
    for number, line in enumerate(lines):
        yield f"{'' if number else name:10}{printable(line)}"


def mark(text: str, colour: str) -> str:
    """Return a text that stands out on a terminal."""
    return click.style(text, fg=colour, bold=True) if has_colours() else text


def age(moment: datetime, now: datetime) -> str:
    """Return a span in its largest unit: `3 minutes`."""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in _STEPS:
        if seconds >= size:
            return plural(seconds // size, unit)
    return "0 seconds"


def origin(policies: PolicyStatus, now: datetime) -> Iterator[str]:
    """Yield where policies came from, and for a bundle also when it was made and expires."""
    where = policies.provenance
    if where.label:
        commit = f", commit {where.commit[:12]}" if where.commit else ""
        yield f"bundle {where.label}{commit}, {where.place}"
    elif where.commit:
        yield f"commit {where.commit[:12]} of {where.ref}, {where.place}"
    elif where.place:
        yield where.place
    if where.signer:
        yield f"signed by {where.signer}"
    if where.created is not None:
        expires = "" if where.expires is None else f", {_expiry(where.expires, now)}"
        yield f"made {age(where.created, now)} ago{expires}"


def _expiry(moment: datetime, now: datetime) -> str:
    if moment <= now:
        return f"expired {age(moment, now)} ago"
    return f"expires in {age(now, moment)}"
