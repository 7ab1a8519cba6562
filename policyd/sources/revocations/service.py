"""All sources of revocations that are configured, as one."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from time import monotonic
from typing import Protocol

from policyd.errors import PolicydError
from policyd.sources.revocations.file import RevocationFile
from policyd.sources.revocations.settings import RevocationSettings
from policyd.sources.revocations.status import SourceStatus
from policyd.tokens.revocation.revocation_list import RevocationFigures, RevocationList, elapsed
from policyd.tokens.revocation.revocations import NOTHING_REVOKED, CombinedRevocations, Revocations


class LibraryMissing(PolicydError):
    """The settings need a library that is not installed."""


class Feed(Protocol):
    """A running source."""

    @property
    def status(self) -> SourceStatus: ...
    def start(self) -> None: ...
    def stop(self) -> None: ...


class RevocationSources:
    """The sources, each with its list. `revocations` combines them."""

    def __init__(self, feeds: Mapping[str, Feed]) -> None:
        self._feeds = feeds
        lists = [feed.status.revocations for feed in feeds.values()]
        self.revocations: Revocations = (
            NOTHING_REVOKED
            if not lists
            else lists[0]
            if len(lists) == 1
            else CombinedRevocations(lists)
        )

    def start(self) -> None:
        """Start reading in the background."""
        for feed in self._feeds.values():
            feed.start()

    def stop(self) -> None:
        """Stop reading."""
        for feed in self._feeds.values():
            feed.stop()

    def wait(self, seconds: float) -> bool:
        """Wait until every list is complete; tell whether all are. For start-up only."""
        deadline = monotonic() + seconds
        ready = [
            feed.status.revocations.wait(max(0.0, deadline - monotonic()))
            for feed in self._feeds.values()
        ]
        return all(ready)

    def figures(self) -> dict[str, RevocationFigures]:
        """Return the state of each source, by `file` and `redis`. Callable from any thread."""
        return {name: feed.status.revocations.figures() for name, feed in self._feeds.items()}


def open_revocations(
    settings: RevocationSettings | None,
    clock: Callable[[], float] = time.time,
    elapsed: Callable[[], float] = elapsed,
) -> RevocationSources:
    """Build the sources without starting them. `clock` gives the time of day.

    Raises:
        LibraryMissing: Redis is configured, and the library for it is not installed.
    """
    feeds: dict[str, Feed] = {}
    if settings is not None and settings.file is not None:
        status = SourceStatus(_list(settings, elapsed), f"file {settings.file}")
        feeds["file"] = RevocationFile(settings.file, status, clock)
    if settings is not None and settings.redis is not None:
        try:
            # Only a configuration with Redis needs the library.
            from policyd.sources.revocations.shared import SharedRevocations
        except ModuleNotFoundError as error:
            raise library_missing(error) from None
        status = SourceStatus(_list(settings, elapsed), f"Redis {settings.redis}")
        feeds["redis"] = SharedRevocations(settings.redis, status, clock)
    return RevocationSources(feeds)


def read_file_now(settings: RevocationSettings | None) -> Revocations | None:
    """Return the file's current revocations, for commands that run without the daemon.

    `None` if no file is configured. An unreadable file gives a list that refuses every token.
    """
    if settings is None or settings.file is None:
        return None
    revocations = _list(settings, elapsed)
    RevocationFile(settings.file, SourceStatus(revocations, f"file {settings.file}")).look()
    return revocations


def library_missing(error: ModuleNotFoundError) -> LibraryMissing:
    """Return the error for a missing library."""
    return LibraryMissing(
        f"revocations in Redis need the library `{error.name}`: install `policyd[redis]`"
    )


def _list(settings: RevocationSettings, clock: Callable[[], float]) -> RevocationList:
    return RevocationList(
        max_staleness=settings.max_staleness,
        deny_when_stale=settings.deny_when_stale,
        names=settings.claims,
        clock=clock,
    )
