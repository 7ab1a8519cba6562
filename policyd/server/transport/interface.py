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

from collections.abc import Callable, Mapping
from typing import Final, Protocol

import msgspec

from policyd.config.limits import Limits
from policyd.config.tls_files import Identity
from policyd.errors import PolicydError
from policyd.pdp.calls import Call, CallFailed, Deferred, StatusCode


class BindFailed(PolicydError):
    """An address cannot be listened on."""


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


NO_MESSAGE = CallFailed(StatusCode.UNIMPLEMENTED, "the call brought no message")


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
