"""How a daemon is reached: address, certificates, retries; and what a failed call means.

gRPC repeats calls by itself, for both clients: only where the daemon was UNAVAILABLE, with growing
pauses, and never past the call's deadline (`retryPolicy` of its service configuration).
"""

from __future__ import annotations

import json
from dataclasses import dataclass

import grpc
from google.protobuf.message import DecodeError

from . import exchange, messages, wire
from .values import AuthorizationFailed

_DETAILS = "grpc-status-details-bin"
_REPEATED = {
    exchange.AUTHORIZATION: ("Check", "BatchCheck"),
    exchange.EXPLANATION: ("Explain",),
}


@dataclass(frozen=True)
class Connection:
    """Where the daemon is and how it is spoken to. Raises `ValueError` for what cannot be.

    `authorities` are certificates (PEM) of which one must have issued the daemon's; without them
    the connection is plain text. `certificate` and `private_key` (PEM) are what the daemon is shown
    where it asks for one, the certificate with those that lead to its authority.
    `attempts` is how often a call is made in all while the daemon is unavailable; from 1 to 5.
    """

    target: str
    authorities: bytes | None = None
    certificate: bytes | None = None
    private_key: bytes | None = None
    attempts: int = 4

    def __post_init__(self) -> None:
        if (self.certificate is None) != (self.private_key is None):
            raise ValueError("a certificate needs its private_key, and the key its certificate")
        if self.certificate is not None and self.authorities is None:
            raise ValueError("a certificate is shown over TLS: pass the daemon's authorities")
        if not 1 <= self.attempts <= 5:
            raise ValueError("attempts is a number from 1 to 5")

    def credentials(self) -> grpc.ChannelCredentials | None:
        """Return the channel's credentials; `None` for plain text."""
        if self.authorities is None:
            return None
        return grpc.ssl_channel_credentials(self.authorities, self.private_key, self.certificate)

    def options(self) -> list[tuple[str, str | int]]:
        """Return the channel's options."""
        if self.attempts == 1:
            return [("grpc.enable_retries", 0)]
        policy = {
            "maxAttempts": self.attempts,
            "initialBackoff": "0.05s",
            "maxBackoff": "1s",
            "backoffMultiplier": 3,
            "retryableStatusCodes": ["UNAVAILABLE"],
        }
        names = [
            {"service": service, "method": method}
            for service, methods in _REPEATED.items()
            for method in methods
        ]
        config = {"methodConfig": [{"name": names, "retryPolicy": policy}]}
        return [("grpc.service_config", json.dumps(config))]


def failed(error: object) -> AuthorizationFailed:
    """Return what a grpc.RpcError means, of either of gRPC's two interfaces."""
    if not isinstance(error, grpc.Call | grpc.aio.AioRpcError):
        return AuthorizationFailed("UNKNOWN", str(error))
    details = {item[0]: item[1] for item in error.trailing_metadata() or ()}.get(_DETAILS)
    status = messages.Status()
    if isinstance(details, bytes):
        try:
            status.ParseFromString(details)
        except DecodeError:  # not of policyd; the code alone counts
            status.Clear()
    return AuthorizationFailed(error.code().name, error.details() or "", wire.reason(status))
