"""What the services need of a transport, and what a transport needs of the services.

A service offers a table of methods, from full name (`/policyd.v1.AuthorizationService/Check`) to
one of three shapes. A transport binds addresses and carries bytes; it knows no message. None of
the shapes holds a thread by its nature, so a transport is free to run them on a pool or in an event
loop.

Invariants: a handler never waits; if it would have to, it returns `Deferred`. It fails a call only
by raising `CallFailed`. Every other exception is a defect of policyd: the transport logs it and
answers INTERNAL, never with its message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final, Generic, Protocol, TypeVar

import msgspec

from policyd.errors import PolicydError

_log = logging.getLogger(__name__)


class StatusCode(IntEnum):
    """The gRPC status codes that policyd answers with."""

    INVALID_ARGUMENT = 3
    DEADLINE_EXCEEDED = 4
    NOT_FOUND = 5
    PERMISSION_DENIED = 7
    RESOURCE_EXHAUSTED = 8
    UNIMPLEMENTED = 12
    INTERNAL = 13
    UNAVAILABLE = 14
    UNAUTHENTICATED = 16


class CallFailed(PolicydError):
    """Ends a call with a status other than OK.

    `details` is a serialised google.rpc.Status, for the trailer `grpc-status-details-bin`; it may
    be empty.
    """

    def __init__(self, code: StatusCode, message: str, details: bytes = b"") -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details


class BindFailed(PolicydError):
    """An address cannot be listened on."""


class Call(Protocol):
    """One call, as its handler sees it."""

    def metadata(self) -> Mapping[str, str | bytes]:
        """Return the metadata that the caller sent, by lower-case name; the last value wins."""
        ...

    def time_remaining(self) -> float | None:
        """Return the seconds until the caller's deadline, `None` where there is none."""
        ...

    def caller(self) -> str:
        """Return who calls, for the decision log. Raises `CallFailed` for one who may not."""
        ...


class Door(Protocol):
    """Says who calls, of all who come by listeners of one kind.

    `everyone` is what all of them are called where nothing tells them apart, and else `None`: then
    `caller` judges a call by the certificate that was shown, in PEM.
    """

    @property
    def everyone(self) -> str | None: ...

    def caller(self, certificate: bytes) -> str:
        """Return the name of a caller. Raises `CallFailed` for one that may not call."""
        ...


class OpenDoor(msgspec.Struct, frozen=True):
    """Tells no caller from another."""

    everyone: str = ""

    def caller(self, certificate: bytes) -> str:  # noqa: ARG002 - it tells nobody apart
        """See `Door.caller`."""
        return self.everyone


ANYBODY: Final = OpenDoor()


#: What an answer is: bytes for gRPC, and whatever else another protocol sends.
WrittenT = TypeVar("WrittenT")
#: Ends a deferred call, from any thread: with the answer, or with the reason why there is none.
Deliver = Callable[[WrittenT | CallFailed], None]


class Deferred(msgspec.Struct, Generic[WrittenT], frozen=True, eq=False):
    """An answer that is not available yet. The call stays open and occupies no thread.

    The transport calls `begin(deliver)` once, which returns without waiting. `deliver` is then
    called once: from any thread, perhaps before `begin` returns.
    """

    begin: Callable[[Deliver[WrittenT]], None]


#: What a caller is told when policyd fails; never more than that.
DEFECT = CallFailed(StatusCode.INTERNAL, "policyd failed; its log says more")
NO_MESSAGE = CallFailed(StatusCode.UNIMPLEMENTED, "the call brought no message")


def start_deferred(deferred: Deferred[WrittenT], deliver: Deliver[WrittenT]) -> None:
    """Begin to wait for an answer. Transports call it, so that they get an answer in any case."""
    try:
        deferred.begin(deliver)
    except Exception:
        _log.exception("a handler failed")
        deliver(DEFECT)


Handler = Callable[[bytes, Call], bytes | Deferred[bytes]]
Send = Callable[[bytes], None]
Unsubscribe = Callable[[], None]


class Unary(msgspec.Struct, frozen=True):
    """One message in, one out.

    `waits` announces that the method may return `Deferred`. Without it, a transport may hold a
    thread for such an answer. `apart` gives the method limits of its own, so that it answers
    however many other calls there are.
    """

    handler: Handler
    waits: bool = False
    apart: bool = False


class Exchange(msgspec.Struct, frozen=True):
    """A stream of messages in; each is answered by one message, in order. `apart`: see `Unary`."""

    handler: Handler
    apart: bool = False


class Watch(msgspec.Struct, frozen=True):
    """One message in; then messages out until the caller goes away.

    `subscribe(request, send)` may call `send` before it returns. It returns what ends the
    subscription. `send` may be called from any thread and does not wait for the caller.
    """

    subscribe: Callable[[bytes, Send], Unsubscribe]


Method = Unary | Exchange | Watch
Methods = Mapping[str, Method]


class Limits(msgspec.Struct, frozen=True):
    """What one transport bears. Times are seconds; those of a connection are off where they are 0.

    `message_bytes` is the size of one incoming message, `header_bytes` that of a call's header
    fields with 32 bytes for each (RFC 9113, section 6.5.2), `calls` the number of unary calls at a
    time, `streams` that of exchanges and, counted apart, of watches; `apart` is how many calls of
    methods that are `apart` there are, and `calls_per_connection` how many of whatever kind on one
    connection. `connections` is how many are kept, for a short time a quarter more.
    `unfinished_bytes` is what unary calls may hold that wait for their caller. Past a
    number, a call that waits for its caller ends with RESOURCE_EXHAUSTED, or where there is none,
    the newcomer. A message that does not arrive within `receive_timeout`, and an answer not taken
    within `send_timeout`, end their call with DEADLINE_EXCEEDED.

    `threads` is the size of the pool that answers unary calls. `shared_ports` lets other processes
    listen on the same ports.
    """

    message_bytes: int = 512 * 1024
    header_bytes: int = 16 * 1024
    calls: int = 1000
    streams: int = 48
    apart: int = 64
    calls_per_connection: int = 256
    connections: int = 400
    unfinished_bytes: int = 24 * 1024 * 1024
    receive_timeout: float = 5.0
    send_timeout: float = 5.0
    handshake_timeout: float = 10.0
    connection_idle: float = 0.0
    connection_age: float = 0.0
    connection_age_grace: float = 0.0
    threads: int = 6
    shared_ports: bool = False


class Identity(msgspec.Struct, frozen=True):
    """A server's TLS certificate chain and private key, in PEM.

    With `client_authorities`, a caller must present a certificate that one of them issued.
    """

    certificate: bytes
    private_key: bytes
    client_authorities: bytes | None = None


#: Returns the identity to show to a new connection, the same object for as long as it is the same.
#: Called for each, by threads of gRPC's: it must not wait. Whether there are `client_authorities`
#: never changes.
CurrentIdentity = Callable[[], Identity]


class Settling(Protocol):
    """What answers wait for before they leave."""

    def group(self) -> None:
        """Settle the answers of this thread together from now on, by `settle_group`."""
        ...

    def settle_group(self) -> CallFailed | None:
        """Wait for what this thread's answers wait for; return what they fail with, if so."""
        ...


class Transport(Protocol):
    """Carries calls between sockets and a table of methods."""

    def bind(self, address: str, identity: CurrentIdentity | None = None) -> str:
        """Listen on `host:port` or `unix:/path`, and return the address with its actual port.

        Raises:
            BindFailed: the address is taken or no address of this machine.
        """
        ...

    def settle_with(self, settling: Settling) -> None:
        """Let answers wait for what `settling` waits for; told before the start.

        A transport whose thread answers many calls in turn settles them together. All others have
        nothing to do: a handler settles its own answer.
        """
        ...

    def start(self) -> None:
        """Begin to take calls."""
        ...

    def stop(self, grace: float) -> None:
        """Take no more calls; return once those under way have ended, `grace` seconds at most."""
        ...

    def turned(self) -> float:
        """Return when it last looked for calls, or whose time is over, by `time.monotonic`."""
        ...


class TransportFactory(Protocol):
    """Makes a transport.

    It takes methods and limits, what a stream past the limit is told, and what tells who calls.
    """

    def __call__(
        self, methods: Methods, limits: Limits, surplus: CallFailed, door: Door = ..., /
    ) -> Transport: ...
