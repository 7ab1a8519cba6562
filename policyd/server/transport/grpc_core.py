"""The parts in use of `grpc._cython.cygrpc`, the private layer under grpcio's own server.

Only `event` uses it. Its names and signatures are the same in all grpcio releases on which the
server's tests were run; `selftest` tests them at each start.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from typing import Protocol, cast


class Operation(Protocol):
    """One part of a batch. A received message is available when the batch is done."""

    def message(self) -> bytes | None: ...


class Details(Protocol):
    method: bytes
    deadline: float


class Event(Protocol):
    completion_type: int
    tag: object
    success: bool
    call: CoreCall
    call_details: Details
    invocation_metadata: Sequence[tuple[str, str | bytes]]
    batch_operations: Sequence[Operation]


class CoreCall(Protocol):
    def peer(self) -> bytes: ...

    def cancel(self, error_code: int, details: str) -> object: ...

    def start_server_batch(
        self, operations: Sequence[Operation], tag: Callable[[Event], None]
    ) -> object: ...


class CoreQueue(Protocol):
    def poll(self, deadline: float | None = None) -> Event: ...

    def shutdown(self) -> None: ...


class CoreServer(Protocol):
    def register_completion_queue(self, completion_queue: CoreQueue) -> None: ...

    def add_http2_port(self, address: bytes, credentials: object = None) -> int: ...

    def start(self) -> None: ...

    def request_call(self, calls: CoreQueue, server: CoreQueue, tag: object) -> None: ...

    def shutdown(self, completion_queue: CoreQueue, tag: object) -> None: ...

    def cancel_all_calls(self) -> None: ...

    def destroy(self) -> None: ...


class Credentials(Protocol):
    """The attribute of grpcio's public credentials that the private layer needs."""

    _credentials: object


class CompletionTypes(Protocol):
    queue_timeout: int


class Core(Protocol):
    """The names of the private module that are used, with their types."""

    CompletionType: CompletionTypes

    def CompletionQueue(self) -> CoreQueue: ...  # noqa: N802

    def Server(self, options: Sequence[tuple[str, int]], xds: bool) -> CoreServer: ...  # noqa: N802

    def auth_context(self, call: CoreCall) -> Mapping[bytes, Sequence[bytes]]: ...

    def ReceiveMessageOperation(self, flags: int) -> Operation: ...  # noqa: N802

    def ReceiveCloseOnServerOperation(self, flags: int) -> Operation: ...  # noqa: N802

    def SendInitialMetadataOperation(  # noqa: N802
        self, metadata: None, flags: int
    ) -> Operation: ...

    def SendMessageOperation(self, message: bytes, flags: int) -> Operation: ...  # noqa: N802

    def SendStatusFromServerOperation(  # noqa: N802
        self,
        trailers: Sequence[tuple[str, bytes]] | None,
        code: int,
        details: bytes,
        flags: int,
    ) -> Operation: ...


def load_core() -> Core:
    """Load the layer. Raises `ImportError` if this grpcio does not have it."""
    return cast(Core, import_module("grpc._cython.cygrpc"))
