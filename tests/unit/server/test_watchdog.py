"""A daemon that does not stop is ended."""

from __future__ import annotations

import logging
import queue

import pytest

from policyd.server.watchdog import FORCED, Watchdog
from tests.support.daemon import PATIENCE


def test_it_ends_the_process_once_its_time_is_over(caplog: pytest.LogCaptureFixture) -> None:
    ends: queue.SimpleQueue[int] = queue.SimpleQueue()
    watchdog = Watchdog(0.01, ends.put)
    with caplog.at_level(logging.ERROR):
        watchdog.arm()
        watchdog.arm()
        assert ends.get(timeout=PATIENCE) == FORCED
    assert ends.empty()
    (record,) = caplog.records
    assert "does not stop" in record.message
    assert any("MainThread" in thread for thread in vars(record)["threads"])


def test_what_was_never_asked_to_stop_goes_on() -> None:
    ends: queue.SimpleQueue[int] = queue.SimpleQueue()
    Watchdog(0.0, ends.put)
    assert ends.empty()
