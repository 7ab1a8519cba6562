"""What asks in the process itself, around parts that a test has made."""

from __future__ import annotations

from policyd.audit import Mask
from policyd.config.request_limits import RequestLimits
from policyd.embedded.asks import Asks
from policyd.pdp.answering import Answering, Decider
from tests.support.deciding import KeptLog


def in_process(decider: Decider, log: KeptLog | None = None) -> Asks:
    """Return what asks `decider`, as `policyd.Embedded` does."""
    answering = Answering(decider, log or KeptLog())
    return Asks(answering, Mask(), RequestLimits(), timeout=5.0)
