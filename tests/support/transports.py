"""The transports that the suites of the server run over, by name. A further one is a line here.

The suite of daemons runs over the one that daemons use by themselves, unless `POLICYD_TRANSPORTS`
names others, with commas between: the unit tests serve over each in any case.
"""

from __future__ import annotations

import os
from contextlib import AbstractContextManager
from typing import Protocol

import pytest

from policyd.config.limits import Limits
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.server.transport.event import EventTransport
from policyd.server.transport.interface import Methods, TransportFactory
from policyd.server.transport.standard import StandardTransport
from tests.support.daemon import Caller

TRANSPORTS: dict[str, TransportFactory] = {
    "standard": StandardTransport,
    "event": EventTransport,
}

#: The names of those that daemons of the suite serve over.
CHOSEN = os.environ.get("POLICYD_TRANSPORTS", "event").split(",")
if not TRANSPORTS.keys() >= set(CHOSEN):
    raise ValueError(f"POLICYD_TRANSPORTS: {','.join(CHOSEN)}; known are {','.join(TRANSPORTS)}")

#: For tests of what no transport touches, such as where policies come from and how records reach a
#: disk: they start a daemon over one transport, and not over each.
ONE_TRANSPORT = pytest.mark.parametrize("transport", CHOSEN[:1], scope="module")

#: What a stream past the limit is told.
SURPLUS = CallFailed(StatusCode.RESOURCE_EXHAUSTED, "too many", b"details")


class Serving(Protocol):
    """Serves methods for as long as a context lasts."""

    def __call__(
        self, methods: Methods, limits: Limits | None = None
    ) -> AbstractContextManager[Caller]: ...
