"""The honest caller: one call after the other on a connection that lasts, and health over new ones.

A call that fails, is not answered as it should be or not within `PATIENCE` is a failure. A
connection that the daemon ends between calls is none: a gRPC client would connect anew without a
word, and so does this.
"""

from __future__ import annotations

import ssl
import time

import msgspec

from bench.load import Connection, LoadError, Method
from bench.servers import CHECK, HEALTH
from scripts.hostile.connection import Address, client_context

PATIENCE = 30.0
#: Seconds between two calls, and between two looks at the health.
_PAUSE, _HEALTH = 0.003, 0.1
_SERVING = Method(HEALTH, b"\x08\x01")


class Noticed(msgspec.Struct):
    """What was noticed in some time. Times are milliseconds."""

    worst: float = 0.0
    calls: int = 0
    health_asked: int = 0
    healthy: int = 0
    worst_health: float = 0.0
    failures: list[str] = []


class Prober:
    """Asks one question, and expects some bytes in each answer."""

    def __init__(
        self, address: Address, request: bytes, expected: bytes, *, tls: bool = False
    ) -> None:
        self._address = address
        self._request = request
        self._check = Method(CHECK.path, expected)
        self._context: ssl.SSLContext | None = client_context() if tls else None
        self._connection: Connection | None = None

    def until_serving(self) -> None:
        """Return when the health service says SERVING."""
        until = time.monotonic() + PATIENCE
        while self._health() is None:
            if time.monotonic() > until:
                raise RuntimeError(f"the daemon is not SERVING after {PATIENCE:.0f} s")
            time.sleep(0.01)
        self._ask()

    def probe(self, seconds: float) -> Noticed:
        """Ask for so long."""
        noticed = Noticed()
        until, next_health = time.monotonic() + seconds, 0.0
        while time.monotonic() < until:
            try:
                noticed.worst = max(noticed.worst, self._ask())
            except (LoadError, OSError) as error:
                self._connection = None
                noticed.failures.append(f"a call failed: {error}"[:400])
            noticed.calls += 1
            if time.monotonic() > next_health:
                noticed.health_asked += 1
                waited = self._health()
                if waited is None:
                    noticed.failures.append("health did not answer")
                else:
                    noticed.healthy += 1
                    noticed.worst_health = max(noticed.worst_health, waited)
                next_health = time.monotonic() + _HEALTH
            time.sleep(_PAUSE)
        return noticed

    def answers_again(self) -> bool:
        """Whether a call over a new connection is answered, once the attack is over."""
        until = time.monotonic() + PATIENCE
        while time.monotonic() < until:
            self._connection = None
            try:
                self._ask()
            except (LoadError, OSError):
                time.sleep(0.1)
            else:
                return True
        return False

    def _ask(self) -> float:
        """Ask, once more where the connection was ended since the last answer."""
        try:
            return self._ask_once()
        except ConnectionResetError:
            self._connection = None
            return self._ask_once()

    def _ask_once(self) -> float:
        if self._connection is None:
            self._connection = self._connect(self._check)
        return _call(self._connection, self._request)

    def _health(self) -> float | None:
        try:
            connection = self._connect(_SERVING)
        except OSError:
            return None
        try:
            return _call(connection, b"")
        except (LoadError, OSError):
            return None
        finally:
            connection.socket.close()

    def _connect(self, method: Method) -> Connection:
        connection = Connection(self._address, method, self._context)
        connection.socket.settimeout(PATIENCE)
        return connection


def _call(connection: Connection, message: bytes) -> float:
    """Make one call; return the milliseconds until its answer."""
    connection.call(message)
    connection.flush()
    while not connection.receive():
        connection.flush()
    connection.flush()
    return connection.latencies.pop() * 1000
