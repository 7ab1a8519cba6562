"""The first policies of a daemon: loaded, or waited for while their source cannot be reached.

A source on another machine may be away when the daemon starts, or a file of secrets may come later
than the daemon. If nothing is remembered from before, there is nothing to serve: the daemon says
NOT_SERVING, and tries again. What is wrong with the policies themselves no waiting mends.
"""

from __future__ import annotations

import logging
import random
from collections.abc import Callable
from typing import Final

from policyd.pdp.policies import PolicyService
from policyd.server.services.health import Health
from policyd.server.signals import RECONFIGURE, Signals
from policyd.sources.policies import PoliciesUnreadable, Step
from policyd.sources.policies.polling import pause

_log = logging.getLogger(__name__)
#: Seconds before the second attempt. It doubles up to so many times.
_FIRST_PAUSE: Final = 1.0
_DOUBLED: Final = 5


def load_first(
    policies: PolicyService,
    health: Health,
    signals: Signals,
    reconfigure: Callable[[], None],
    tell: Callable[[str], None],
) -> str | None:
    """Load the first set. `None` when it serves, else the signal that ends the daemon.

    `tell` is told what is waited for. SIGHUP makes the next attempt come at once. Raises what
    `PolicyService.load` raises, unless that is a failed fetch.
    """
    failures, said = 0, ""
    while True:
        try:
            policies.load()
        except PoliciesUnreadable as error:
            if error.step is not Step.FETCH:
                raise
            problem = f"the policies cannot be fetched: {error}"
            if problem != said:
                _log.error("there are no policies yet; trying again", extra={"error": problem})
                health.become(serving=False, why=problem)
                tell("waiting for the policies")
                said = problem
        else:
            return None
        name = signals.wait(pause(_FIRST_PAUSE, min(failures, _DOUBLED), random.uniform))
        failures += 1
        if name == RECONFIGURE:
            reconfigure()
        elif name is not None:
            return name
