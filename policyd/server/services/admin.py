"""The AdminService: the state of the daemon, and which policies serve. Bytes to bytes.

Off unless a listener is configured for it that only operators reach. What a call sets going runs in
a thread of its own, one at a time, so no check waits for it.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from typing import Final, Protocol

from policyd.errors import PolicydError
from policyd.pdp.calls import DEFECT, Call, CallFailed, Deferred, Deliver, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.transport.interface import Methods, Unary
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
from policyd.server.wire.failures import failure

SERVICE: Final = "policyd.v1.AdminService"
_log = logging.getLogger(__name__)
_LISTED, _MOST = 20, 1000


class Operations(Protocol):
    """What an operator may ask. Both that change something may take as long as a fetch does."""

    def status(self) -> Status:
        """Return the state of now."""
        ...

    def activations(self, most: int) -> Activations:
        """Return the newest activations. Raises `PolicydError`."""
        ...

    def shadow(self, most: int) -> ShadowDifferences:
        """Return the most frequent differences of the shadow. Raises `PolicydError`."""
        ...

    def reload(self) -> PolicyStatus:
        """Look for changed policies, and return what serves then. Raises `PolicydError`."""
        ...

    def activate(self, name: str, asked_by: str) -> PolicyStatus:
        """Let a named set serve, and return what does. Raises `PolicydError`."""
        ...


class AdminService:
    """Lets operators ask."""

    def __init__(self, operations: Operations) -> None:
        self._operations = operations
        self._one_at_a_time = threading.Lock()

    def methods(self) -> Methods:
        """Return the service's methods."""
        return {
            f"/{SERVICE}/GetStatus": Unary(self.status, apart=True),
            f"/{SERVICE}/ListActivations": Unary(self.activations, apart=True),
            f"/{SERVICE}/ListShadowDifferences": Unary(self.shadow, apart=True),
            f"/{SERVICE}/Reload": Unary(self.reload, waits=True, apart=True),
            f"/{SERVICE}/Activate": Unary(self.activate, waits=True, apart=True),
        }

    def status(self, data: bytes, call: Call) -> bytes:
        """Answer a GetStatusRequest."""
        call.caller()
        read(Nothing, data)
        return write(self._operations.status())

    def activations(self, data: bytes, call: Call) -> bytes:
        """Answer a ListActivationsRequest."""
        call.caller()
        limit = _checked(read(Limit, data).limit)
        try:
            return write(self._operations.activations(limit))
        except PolicydError as error:
            raise _failed(StatusCode.UNAVAILABLE, str(error)) from None

    def shadow(self, data: bytes, call: Call) -> bytes:
        """Answer a ListShadowDifferencesRequest."""
        call.caller()
        limit = _checked(read(ShadowLimit, data).limit)
        try:
            return write(self._operations.shadow(limit))
        except PolicydError as error:
            raise _failed(StatusCode.NOT_FOUND, str(error)) from None

    def reload(self, data: bytes, call: Call) -> Deferred[bytes]:
        """Answer a ReloadRequest, once that is done."""
        call.caller()
        read(Nothing, data)
        return self._later(self._operations.reload)

    def activate(self, data: bytes, call: Call) -> Deferred[bytes]:
        """Answer an ActivateRequest, once that is done."""
        caller, name = call.caller(), read(Name, data).name
        if not name:
            raise _failed(StatusCode.INVALID_ARGUMENT, "name: write a commit or a revision")
        return self._later(lambda: self._operations.activate(name, caller))

    def _later(self, do: Callable[[], PolicyStatus]) -> Deferred[bytes]:
        def begin(deliver: Deliver[bytes]) -> None:
            threading.Thread(
                target=self._run, args=(do, deliver), name="admin", daemon=True
            ).start()

        return Deferred(begin)

    def _run(self, do: Callable[[], PolicyStatus], deliver: Deliver[bytes]) -> None:
        answer: bytes | CallFailed = DEFECT
        try:
            with self._one_at_a_time:
                answer = write(Policies(do()))
        except PolicydError as error:
            answer = _failed(StatusCode.NOT_FOUND, str(error))
        except Exception:
            _log.exception("an operator's request failed")
        deliver(answer)


def _checked(limit: int) -> int:
    """Return how many to list. Raises `CallFailed`."""
    if not 0 <= limit <= _MOST:
        raise _failed(StatusCode.INVALID_ARGUMENT, f"limit: write 0 to {_MOST}")
    return limit or _LISTED


def _failed(code: StatusCode, message: str) -> CallFailed:
    return failure(code, ErrorReason.VALUE_INVALID, message)
