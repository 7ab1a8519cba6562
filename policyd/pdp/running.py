"""A decision point from start to stop: what it runs, in which order.

Whatever is started here stops with the `ExitStack` that it is given, the last first.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import Final, Protocol

from policyd.config.configuration import Configuration
from policyd.config.findings import ConfigurationInvalid
from policyd.config.masks import mask_findings
from policyd.pdp.activation import MasksUnknown
from policyd.pdp.assembly import DecisionPoint

_log = logging.getLogger(__name__)
#: Seconds for which a start waits for issuers' keys.
WAIT_FOR_KEYS: Final = 2.0


class _Runs(Protocol):
    """A part with threads of its own."""

    def start(self) -> None: ...

    def stop(self) -> None: ...


def start(point: DecisionPoint, running: ExitStack) -> None:
    """Start what every decision needs: the log, issuers' keys, revocations."""
    state = point.state
    state.decisions.start()
    running.callback(state.decisions.close)
    parts: tuple[_Runs, ...] = (state.validator, state.revocations)
    for part in parts:
        part.start()
        running.callback(part.stop)
    running.callback(point.waiting.close)


@contextmanager
def masks_checked(configuration: Configuration) -> Iterator[None]:
    """Load the first policies meanwhile: a mask that names nothing is a mistake of the
    configuration. Raises `ConfigurationInvalid`."""
    try:
        yield
    except MasksUnknown as error:
        found = mask_findings(configuration.source, error.unknown)
        raise ConfigurationInvalid(found) from None


def watch(point: DecisionPoint, running: ExitStack) -> None:
    """Wait a moment for keys, and begin to look for changes, once there are policies."""
    state = point.state
    if not state.validator.wait_for_keys(WAIT_FOR_KEYS):
        _log.warning("some keys are not there yet; their tokens are refused until then")
    state.policies.watch()
    running.callback(state.policies.stop)
    if state.shadow is not None:
        state.shadow.start()
        running.callback(state.shadow.stop)


def look_again(point: DecisionPoint) -> None:
    """Open the files of the log anew, and read the configuration again. Raises nothing."""
    point.state.decisions.reopen()
    point.reconfiguration.apply()
