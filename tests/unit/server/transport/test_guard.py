"""How far the standard transport is behind with what has happened."""

from __future__ import annotations

import time

import pytest

from policyd.config.limits import Limits
from policyd.server.transport.guard import Guard


class Context:
    """As much of a call's context as a guard needs."""

    def __init__(self) -> None:
        self.cancelled = False

    def peer(self) -> str:
        return "ipv4:127.0.0.1:1"

    def add_callback(self, _callback: object) -> bool:
        return True

    def cancel(self) -> None:
        self.cancelled = True


def test_what_waits_is_late_only_by_what_was_taken_from_the_queue(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A new call is asked for when the one before was taken, so it stands behind what happened
    before that."""
    now = 100.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    guard = Guard(Limits(unfinished_bytes=1, message_bytes=10))

    def enter() -> Context:
        context: Context = Context()
        guard.take()
        visit = guard.enter(context, guard.room.calls)  # type: ignore[arg-type]
        assert visit is not None
        guard.receive(visit)
        return context

    first = enter()
    now = 101.5  # the thread did nothing else meanwhile
    second = enter()
    assert not first.cancelled
    third = enter()  # it comes right after, so nothing stood in the queue any more
    assert (first.cancelled, second.cancelled, third.cancelled) == (True, False, False)
