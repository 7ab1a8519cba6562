"""A daemon under a supervisor: told when it serves, reads again and stops, and that it lives."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from tests.support.daemon import Daemon, Site
from tests.support.ports import free_port
from tests.support.supervisors import Supervisors


@pytest.fixture
def hearing(tmp_path: Path) -> Supervisors:
    return Supervisors(tmp_path / "notify")


def test_a_supervisor_is_told_from_start_to_stop(site: Site, hearing: Supervisors) -> None:
    with hearing, site.start(prefix=hearing.environment(WATCHDOG_USEC="2000000")) as daemon:
        ready = hearing.wait_for(lambda told: "READY" in told)
        assert ready["STATUS"] == f"serves at {daemon.addresses[0]}"
        assert {"STATUS": "waiting for the revocation list"} in hearing.told
        hearing.wait_for(lambda told: "WATCHDOG" in told)

        daemon.signal(signal.SIGHUP)
        hearing.wait_for(lambda told: "RELOADING" in told)
        assert hearing.told[-1]["MONOTONIC_USEC"].isdecimal()
        hearing.wait_for(lambda told: "READY" in told)

        (site.folder / "policyd.toml").write_text("broken")
        daemon.signal(signal.SIGHUP)
        hearing.wait_for(lambda told: "RELOADING" in told)
        told = hearing.wait_for(lambda told: "READY" in told)["STATUS"]
        assert told.startswith("serves; the changed configuration has errors; nothing changed")

        daemon.signal(signal.SIGTERM)
        hearing.wait_for(lambda told: "STOPPING" in told)


def test_one_that_cannot_start_is_never_ready(site: Site, hearing: Supervisors) -> None:
    site.policy.write_text("api broken {")
    with hearing:
        daemon = Daemon(site.folder, (), hearing.environment())
        assert daemon.wait() == 1
        daemon.end()
        assert not any("READY" in told for told in hearing.heard())


def test_workers_are_ready_when_all_are(site: Site, hearing: Supervisors) -> None:
    site.configure(f'listen = ["127.0.0.1:{free_port()}"]\nworkers = 2\n[dpop]\nenabled = false')
    prefix = hearing.environment(WATCHDOG_USEC="60000000")
    with hearing, site.start(prefix=prefix) as daemon:
        assert hearing.wait_for(lambda told: "READY" in told)["STATUS"] == "2 workers serve"
        serving = [line["pid"] for line in daemon.log if line["message"] == "serving"]
        assert len(set(serving)) == 2
        hearing.wait_for(lambda told: "WATCHDOG" in told)
        daemon.signal(signal.SIGHUP)
        hearing.wait_for(lambda told: "RELOADING" in told)
        hearing.wait_for(lambda told: "READY" in told)
        daemon.signal(signal.SIGTERM)
        hearing.wait_for(lambda told: "STOPPING" in told)
