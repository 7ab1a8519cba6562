"""grpc.health.v1.Health: whether the daemon serves. Check and Watch.

The whole daemon (service name "") and each service have one state: NOT_SERVING until the first
policy set is active, and while the daemon drains. Watchers hear of a change at once.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable

from google.protobuf.message import DecodeError
from grpc_health.v1.health_pb2 import HealthCheckRequest, HealthCheckResponse

from policyd.pdp.calls import Call, CallFailed, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.transport.interface import Methods, Send, Unary, Unsubscribe, Watch
from policyd.server.wire.failures import failure

SERVICE = "grpc.health.v1.Health"


class Health:
    """The state of the daemon, by name of service."""

    def __init__(self, services: Iterable[str]) -> None:
        self._services = frozenset({"", *services})
        self._wanted = False
        self._why = "the daemon is starting"
        self._suspended: str | None = None
        self._lock = threading.Lock()
        self._watchers: set[Send] = set()

    def methods(self) -> Methods:
        """Return the service's methods."""
        return {
            f"/{SERVICE}/Check": Unary(self.check, apart=True),
            f"/{SERVICE}/Watch": Watch(self.watch),
        }

    @property
    def serving(self) -> bool:
        """Whether checks are answered."""
        return self._wanted and self._suspended is None

    @property
    def why(self) -> str:
        """Why checks are not answered; empty while they are."""
        return (self._suspended or "") if self._wanted else self._why

    def become(self, *, serving: bool, why: str = "") -> None:
        """Change the state and tell all who watch. `why` says why it is not serving."""
        with self._lock:
            before = self.serving
            self._why, self._wanted = why, serving
            self._tell(before)

    def suspend(self, why: str | None) -> None:
        """Say NOT_SERVING in place of SERVING for this reason, or with `None` no more."""
        with self._lock:
            before = self.serving
            self._suspended = why
            self._tell(before)

    def _tell(self, before: bool) -> None:
        """Tell all who watch, if the state is another one now."""
        if self.serving != before:
            for send in self._watchers:
                send(self._response())

    def check(self, data: bytes, _call: Call) -> bytes:
        """Answer a HealthCheckRequest. An unknown service is NOT_FOUND."""
        name = _service(data)
        if name not in self._services:
            raise failure(StatusCode.NOT_FOUND, ErrorReason.UNKNOWN_SERVICE, "unknown service")
        return self._response()

    def watch(self, data: bytes, send: Send) -> Unsubscribe:
        """Send the state now and at each change. An unknown service stays SERVICE_UNKNOWN."""
        if _service(data) not in self._services:
            unknown = HealthCheckResponse(status=HealthCheckResponse.SERVICE_UNKNOWN)
            send(unknown.SerializeToString())
            return lambda: None
        with self._lock:
            send(self._response())
            self._watchers.add(send)
        return lambda: self._forget(send)

    def _forget(self, send: Send) -> None:
        with self._lock:
            self._watchers.discard(send)

    def _response(self) -> bytes:
        status = HealthCheckResponse.SERVING if self.serving else HealthCheckResponse.NOT_SERVING
        response: bytes = HealthCheckResponse(status=status).SerializeToString()
        return response


def _service(data: bytes) -> str:
    try:
        name: str = HealthCheckRequest.FromString(data).service
    except DecodeError:
        raise _malformed() from None
    return name


def _malformed() -> CallFailed:
    return failure(
        StatusCode.INVALID_ARGUMENT, ErrorReason.MESSAGE_MALFORMED, "not a health message"
    )
