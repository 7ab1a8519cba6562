"""The sources of revocations, opened from the configuration."""

from __future__ import annotations

import time
from collections.abc import Callable

from policyd.config.findings import ConfigurationInvalid
from policyd.sources.revocations import (
    LibraryMissing,
    RevocationSettings,
    RevocationSources,
    open_revocations,
)


def revocation_sources(
    settings: RevocationSettings | None, clock: Callable[[], float] = time.time
) -> RevocationSources:
    """Open the configured sources; nothing runs yet. Raises `ConfigurationInvalid`."""
    try:
        return open_revocations(settings, clock)
    except LibraryMissing as error:
        raise ConfigurationInvalid.of("P5012", str(error)) from None
