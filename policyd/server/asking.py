"""Asks the AdminService of another daemon, for the verbs of operators."""

from __future__ import annotations

from pathlib import Path
from typing import TypeVar

import grpc
import msgspec

from policyd.errors import PolicydError
from policyd.server.services.admin import SERVICE
from policyd.server.wire.admin import (
    Activations,
    Limit,
    Name,
    Nothing,
    Policies,
    PolicyStatus,
    ShadowDifferences,
    ShadowLimit,
    Status,
    read,
    write,
)

ValueT = TypeVar("ValueT", bound=msgspec.Struct)


class Unanswered(PolicydError):
    """A daemon did not answer, or did not do what it was asked. `code` is gRPC's name for it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


class Credentials(msgspec.Struct, frozen=True):
    """What a connection over TLS takes; without `authorities` it is in plain text."""

    authorities: Path | None = None
    certificate: Path | None = None
    private_key: Path | None = None


class Remote:
    """A connection to a daemon's admin listener. `timeout` is in seconds."""

    def __init__(self, target: str, credentials: Credentials, timeout: float) -> None:
        self._timeout = timeout
        if credentials.authorities is None:
            self._channel = grpc.insecure_channel(target)
        else:
            parts = (credentials.authorities, credentials.private_key, credentials.certificate)
            made = grpc.ssl_channel_credentials(
                *(None if path is None else path.read_bytes() for path in parts)
            )
            self._channel = grpc.secure_channel(target, made)

    def __enter__(self) -> Remote:
        return self

    def __exit__(self, *_: object) -> None:
        self._channel.close()

    def status(self) -> Status:
        """Return the daemon's state. Raises `Unanswered`."""
        return self._ask("GetStatus", Nothing(), Status)

    def activations(self, most: int) -> Activations:
        """Return the newest activations. Raises `Unanswered`."""
        return self._ask("ListActivations", Limit(most), Activations)

    def shadow(self, most: int) -> ShadowDifferences:
        """Return what the shadow policies decide in another way. Raises `Unanswered`."""
        return self._ask("ListShadowDifferences", ShadowLimit(most), ShadowDifferences)

    def reload(self) -> PolicyStatus:
        """Let it look for changed policies. Raises `Unanswered`."""
        return self._ask("Reload", Nothing(), Policies).policies

    def activate(self, name: str) -> PolicyStatus:
        """Let a named set serve. Raises `Unanswered`."""
        return self._ask("Activate", Name(name), Policies).policies

    def _ask(self, method: str, request: msgspec.Struct, shape: type[ValueT]) -> ValueT:
        call: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self._channel.unary_unary(
            f"/{SERVICE}/{method}"
        )
        try:
            return read(shape, call(write(request), timeout=self._timeout))
        except grpc.RpcError as error:
            raise _unanswered(error) from None


def _unanswered(error: object) -> Unanswered:
    assert isinstance(error, grpc.Call), "what a call raises is the call"
    code = error.code()
    return Unanswered(code.name, error.details() or code.name)
