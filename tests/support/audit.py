"""Entries and sinks for tests of the decision log, and a call without a transport."""

from __future__ import annotations

import math
import threading
from collections.abc import Mapping

from policyd.audit import CallDetails, Entry
from policyd.decision.model import BatchItem, Decision
from policyd.json_types import Json
from policyd.reasons import Reason
from policyd.tokens.model import VerifiedToken, new_memo


def verified_token(claims: Mapping[str, Json] | None = None) -> VerifiedToken:
    """Return a token of a user who may read patients."""
    return VerifiedToken(
        issuer="https://issuer.example/",
        subject="user-1",
        client="client-1",
        kind="user",
        scopes=frozenset({"read:patients", "openid"}),
        permissions=frozenset(),
        audience=frozenset({"https://example.com/health-api"}),
        actor=None,
        issued_at=1_800_000_000,
        not_before=None,
        expires_at=1_800_003_600,
        token_id="jti-1",
        key_id="key-1",
        algorithm="RS256",
        claims=claims or {},
        memo=new_memo(),
    )


def entry(name: str = "d-1", token: VerifiedToken | None = None, **changes: Json) -> Entry:
    """Return a decision that allowed to read a patient; `changes` are attributes."""
    attributes: dict[str, Json] = {"sealed": False, **changes}
    return Entry(
        details=CallDetails(duration=0.000_0123),
        decision_id=name,
        item=BatchItem("read", "patient", "p1", attributes),
        decision=Decision(
            True, Reason.ALLOWED, "", "health", "r1", 1_800_000_000.25, ("reads",), token=token
        ),
    )


class MemorySink:
    """Keeps what is written, `room` bytes of it. Waits while `gate` is not set."""

    def __init__(self) -> None:
        self.data = b""
        self.room: float = math.inf
        self.gate = threading.Event()
        self.gate.set()
        self.entered = threading.Event()
        self.closed = False
        self.reopened = self.looks = self.settled = 0
        self.unsettled: str | None = None  # why nothing can be put on the disk
        self.problem: str | None = None

    def start(self) -> None: ...

    def write(self, data: bytes) -> int:
        assert data, "there is nothing to write"
        self.entered.set()
        self.gate.wait()
        taken = data[: int(min(self.room, len(data)))]
        taken = taken[: taken.rfind(b"\n") + 1]
        self.data += taken
        self.room -= len(taken)
        self.problem = None if len(taken) == len(data) else "No space left on device"
        return len(taken)

    def settle(self) -> bool:
        self.settled += 1
        self.problem = self.unsettled
        return self.unsettled is None

    def look(self) -> None:
        self.looks += 1

    def reopen(self) -> None:
        self.reopened += 1

    def close(self) -> None:
        self.closed = True


class NoCall:
    """A call that nothing is known of."""

    def metadata(self) -> Mapping[str, str | bytes]:
        return {}

    def time_remaining(self) -> float | None:
        return None

    def caller(self) -> str:
        return ""
