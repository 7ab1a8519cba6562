"""Calls and their answers, whatever carries them, and answers that come later.

Invariants: whoever answers never waits; if it would have to, it returns `Deferred`. It fails a call
only by raising `CallFailed`. Every other exception is a defect of policyd: it is logged, and the
caller is told `DEFECT`, never its message.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Generic, Protocol, TypeVar

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
    be empty. `reason` is policyd's own, where there is one.
    """

    def __init__(
        self, code: StatusCode, message: str, details: bytes = b"", reason: str = ""
    ) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.details = details
        self.reason = reason


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


def start_deferred(deferred: Deferred[WrittenT], deliver: Deliver[WrittenT]) -> None:
    """Begin to wait for an answer. Transports call it, so that they get an answer in any case."""
    try:
        deferred.begin(deliver)
    except Exception:
        _log.exception("a handler failed")
        deliver(DEFECT)
