"""The running daemon as health probes and metrics see it.

Invariant: everything here is read without waiting, from any thread.
"""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from policyd.pdp.counters import ConnectionCounter
from policyd.pdp.state import PointState
from policyd.server.directory.model import EntityDirectory
from policyd.server.services.health import Health
from policyd.server.tls import TlsIdentity


class DaemonState(PointState, frozen=True, eq=False, kw_only=True):
    """The parts: those of a decision point, and what the daemon has besides."""

    health: Health
    tls: tuple[TlsIdentity, ...] = ()
    connection_counter: ConnectionCounter = msgspec.field(default_factory=ConnectionCounter)
    directory: EntityDirectory | None = None

    def troubles(self) -> Iterator[str]:
        """Yield what is amiss though checks are answered, or would be."""
        yield from PointState.troubles(self)
        for identity in self.tls:
            yield from identity.troubles()
        if self.directory is not None:
            yield from self.directory.troubles()
