"""The transports that the suites of the server run over, by name. A further one is a line here."""

from __future__ import annotations

from policyd.server.lifecycle import TransportFactory
from policyd.server.standard import StandardTransport

TRANSPORTS: dict[str, TransportFactory] = {"standard": StandardTransport}
