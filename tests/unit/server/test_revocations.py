"""Waiting for a revocation list, and doing without the library for one."""

from __future__ import annotations

import os
import signal
import sys
from pathlib import Path
from typing import cast

import pytest

from policyd.config.findings import ConfigurationInvalid
from policyd.pdp.revocations import revocation_sources
from policyd.server import revocations
from policyd.server.revocations import wait_until_loaded
from policyd.server.services.health import Health
from policyd.server.signals import Signals
from policyd.sources.revocations import RedisSettings, RevocationSettings, RevocationSources
from policyd.sources.revocations.file import create


def test_redis_without_its_library(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name.startswith("policyd.sources.revocations.")]:
        if name.endswith((".redis", ".shared")):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "redis", None)
    with pytest.raises(ConfigurationInvalid, match=r"install `policyd\[redis\]`"):
        revocation_sources(RevocationSettings(redis=RedisSettings("localhost")))


def test_a_change_of_the_configuration_is_heard_while_it_waits(tmp_path: Path) -> None:
    path = tmp_path / "list.ndjson"
    sources = revocation_sources(RevocationSettings(file=path))
    health = Health({"x"})
    with Signals() as signals:
        sources.start()
        try:
            os.kill(os.getpid(), signal.SIGHUP)
            name = wait_until_loaded(sources, health, signals, lambda: create(path), [])
        finally:
            sources.stop()
    assert name is None
    assert health.why == "the revocation list has not been loaded yet"


def test_a_signal_to_stop_ends_the_wait_which_the_log_speaks_of_once(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    class Never:
        """No list is ever complete; a signal comes at the third look."""

        looks = 0

        def wait(self, seconds: float) -> bool:
            assert seconds > 0
            self.looks += 1
            if self.looks == 3:
                os.kill(os.getpid(), signal.SIGTERM)
            return False

    monkeypatch.setattr(revocations, "_PATIENCE", -1.0)
    sources = cast(RevocationSources, Never())
    with Signals() as signals:
        name = wait_until_loaded(sources, Health({"x"}), signals, pytest.fail, ["a:1"])
    assert name == "SIGTERM"
    (said,) = [one for one in caplog.records if one.name == revocations.__name__]
    assert said.getMessage() == "waiting for the revocation list"
    assert vars(said)["addresses"] == ["a:1"]


def test_without_a_list_nobody_waits() -> None:
    with Signals() as signals:
        health = Health({"x"})
        assert wait_until_loaded(revocation_sources(None), health, signals, pytest.fail, []) is None
        assert health.why == "the daemon is starting"
