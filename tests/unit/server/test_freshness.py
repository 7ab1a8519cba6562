"""Policies whose source is silent: the state of health, and what is said of it."""

from __future__ import annotations

import logging
import threading

import pytest

from policyd.server.freshness import Freshness
from policyd.server.services.health import Health
from tests.support.daemon import PATIENCE


def test_health_follows_the_source(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    why: list[str | None] = [None]
    health = Health({"policyd.v1.AuthorizationService"})
    freshness = Freshness(lambda now: why[0], health, lambda: 0.0)
    freshness.look()
    assert not health.serving, "it is starting"
    assert health.why == "the daemon is starting"
    health.become(serving=True)
    assert (health.serving, health.why) == (True, "")
    for said, serving in (("silent for 61 s", False), ("silent for 62 s", False), (None, True)):
        why[0] = said
        freshness.look()
        assert (health.serving, health.why) == (serving, said or "")
    why[0] = "silent"
    freshness.look()
    health.become(serving=False, why="the daemon is stopping")
    assert health.why == "the daemon is stopping"
    assert [one.message for one in caplog.records] == [
        "the policies are too old; not serving",
        "the source of the policies is back",
        "the policies are too old; not serving",
    ]


def test_watchers_hear_of_a_change_alone() -> None:
    health = Health(())
    told: list[bytes] = []
    health.watch(b"", told.append)
    health.become(serving=True)
    for why in ("old", "older", None, None):
        health.suspend(why)
    assert len(told) == 4


def test_it_looks_by_itself_until_it_stops() -> None:
    health = Health(())
    health.become(serving=True)
    looks: list[float] = []
    again = threading.Event()

    def too_old(now: float) -> None:
        looks.append(now)
        if len(looks) > 1:
            again.set()

    freshness = Freshness(too_old, health, lambda: 1.0)
    freshness.start()
    assert again.wait(PATIENCE)
    freshness.stop()
    assert not freshness._thread.is_alive()
