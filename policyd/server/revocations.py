"""Revocations at work in the daemon: opened from the configuration, waited for before it serves."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence

from policyd.server.services.health import Health
from policyd.server.signals import RECONFIGURE, Signals
from policyd.sources.revocations import (
    RevocationSources,
)

_log = logging.getLogger(__name__)
#: Seconds that loading may take before the log speaks of it.
_PATIENCE = 1.0
_LOOK_EVERY = 0.1


def wait_until_loaded(
    sources: RevocationSources,
    health: Health,
    signals: Signals,
    reconfigure: Callable[[], None],
    addresses: Sequence[str],
) -> str | None:
    """Wait until every list is complete. `None` when it is, else the signal that ends the daemon.

    Calls are answered all the while, and refused: nobody knows what was revoked.
    """
    speak_at = time.monotonic() + _PATIENCE
    while not sources.wait(_LOOK_EVERY):
        health.become(serving=False, why="the revocation list has not been loaded yet")
        if time.monotonic() > speak_at:
            _log.warning("waiting for the revocation list", extra={"addresses": list(addresses)})
            speak_at = float("inf")
        name = signals.wait(0)
        if name == RECONFIGURE:
            reconfigure()
        elif name is not None:
            return name
    return None
