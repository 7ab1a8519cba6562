"""Several daemons beside each other: which revision each serves, and what is amiss with it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING, Final

import msgspec

from policyd.cli.operating import NoAnswer, ask
from policyd.cli.output import plural
from policyd.cli.rows import age, mark, rows
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json

if TYPE_CHECKING:
    from policyd.server.asking import Remote
    from policyd.server.wire.admin import Status

#: So many are asked at a time.
_AT_A_TIME: Final = 32
_HEADINGS: Final = ("daemon", "state", "revision", "from", "in service", "source heard")
_STATE: Final = 1
_COLOURS: Final = {"serving": "green"}


class Daemon(msgspec.Struct, frozen=True):
    """A daemon, by its admin listener, and its state, or why it gave none."""

    target: str
    status: Status | None
    problem: str

    @property
    def troubles(self) -> Iterator[str]:
        """What is amiss."""
        if self.status is None:
            yield self.problem
            return
        if not self.status.serving:
            yield f"it does not serve: {self.status.not_serving_because or 'no reason given'}"
        yield from self.status.troubles


def ask_all(
    targets: Sequence[str],
    files: tuple[Path | None, Path | None, Path | None],
    timeout: float,
    *,
    reload: bool,
) -> list[Daemon]:
    """Ask every daemon, with `reload` after it has looked for changed policies."""

    def state(remote: Remote) -> Status:
        if reload:
            remote.reload()
        return remote.status()

    def one(target: str) -> Daemon:
        try:
            return Daemon(target, ask(target, files, timeout, state), "")
        except NoAnswer as error:
            return Daemon(target, None, str(error))

    with ThreadPoolExecutor(min(len(targets), _AT_A_TIME)) as pool:
        return list(pool.map(one, targets))


def revisions(daemons: Iterable[Daemon]) -> dict[str, list[str]]:
    """Return which daemons serve which revision; `""` stands for none."""
    found: dict[str, list[str]] = {}
    for daemon in daemons:
        status = daemon.status
        revision = status.policies.revision if status is not None and status.serving else ""
        found.setdefault(revision, []).append(daemon.target)
    return found


def agree(daemons: Sequence[Daemon]) -> bool:
    """Tell whether all daemons serve, and the same revision, and nothing is amiss."""
    return len(revisions(daemons)) == 1 and not any(chain(*(one.troubles for one in daemons)))


def page(daemons: Sequence[Daemon], now: datetime) -> Iterator[str]:
    """Yield a table, who serves which revision, and what is amiss."""
    table = [_HEADINGS, *(_row(one, now) for one in daemons)]
    widths = [max(map(len, column)) for column in zip(*table, strict=True)]
    for row in table:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if row is not _HEADINGS:
            cells[_STATE] = mark(cells[_STATE], _COLOURS.get(row[_STATE], "red"))
        yield "  ".join(cells).rstrip()
    yield ""
    yield from rows("revisions", [_share(*one) for one in revisions(daemons).items()])
    amiss = [
        trouble if trouble.startswith(one.target) else f"{one.target}: {trouble}"
        for one in daemons
        for trouble in one.troubles
    ]
    yield from rows("amiss", amiss or ["nothing"])


def document(daemons: Sequence[Daemon]) -> Json:
    """Return all of it for programs."""
    found: Json = msgspec.to_builtins(
        {"daemons": daemons, "revisions": revisions(daemons), "agree": agree(daemons)}
    )
    return found


def _share(revision: str, targets: Sequence[str]) -> str:
    return f"{revision[:12] or 'none':12}  {plural(len(targets), 'daemon')}"


def _row(daemon: Daemon, now: datetime) -> tuple[str, ...]:
    status = daemon.status
    if status is None:
        return (printable(daemon.target), "no answer", "-", "-", "-", "-")
    policies = status.policies
    origin = policies.provenance
    return (
        printable(daemon.target),
        "serving" if status.serving else "not serving",
        policies.revision[:12] or "-",
        printable(origin.label or origin.commit[:12] or origin.kind or "-"),
        "-" if policies.loaded_at is None else age(policies.loaded_at, now),
        "-" if policies.heard_at is None else f"{age(policies.heard_at, now)} ago",
    )
