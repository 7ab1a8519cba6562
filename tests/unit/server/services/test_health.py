"""Health, without a transport."""

from __future__ import annotations

from grpc_health.v1.health_pb2 import HealthCheckResponse

from policyd.server.services.health import Health
from tests.support.audit import NoCall

SERVING, NOT_SERVING = HealthCheckResponse.SERVING, HealthCheckResponse.NOT_SERVING


def status(data: bytes) -> int:
    return int(HealthCheckResponse.FromString(data).status)


def test_does_not_serve_until_it_is_told() -> None:
    health = Health({"s"})
    assert status(health.check(b"", NoCall())) == NOT_SERVING
    health.become(serving=True)
    assert status(health.check(b"", NoCall())) == SERVING


def test_tells_each_change_to_those_who_watch() -> None:
    health = Health({"s"})
    seen: list[int] = []
    leave = health.watch(b"", lambda data: seen.append(status(data)))
    health.become(serving=True)
    health.become(serving=True)
    health.become(serving=False)
    leave()
    leave()
    health.become(serving=True)
    assert seen == [NOT_SERVING, SERVING, NOT_SERVING]
