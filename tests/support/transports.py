"""The transports that the suites of the server run over, by name. A further one is a line here."""

from __future__ import annotations

from policyd.server.event import EventTransport
from policyd.server.standard import StandardTransport
from policyd.server.transport import TransportFactory

TRANSPORTS: dict[str, TransportFactory] = {
    "standard": StandardTransport,
    "event": EventTransport,
}
