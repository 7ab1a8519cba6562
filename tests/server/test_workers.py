"""Several workers: they share a port, and one that dies is replaced."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from functools import partial

import pytest

from tests.support.daemon import PATIENCE, Caller, Daemon, LogLine, Site, check_request


@pytest.fixture
def port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        number: int = listener.getsockname()[1]
    return number


def configure(site: Site, port: int) -> None:
    site.configure(f'listen = ["127.0.0.1:{port}"]\nworkers = 2\n[dpop]\nenabled = false')


def started(daemon: Daemon) -> dict[int, int]:
    """Return the process of each worker, the last that was started."""
    return {
        int(str(line["worker"])): int(str(line["pid"]))
        for line in daemon.log
        if line["message"] == "worker started"
    }


def is_of(pid: int, line: LogLine) -> bool:
    return line["pid"] == pid


def wait_for_both(daemon: Daemon) -> None:
    for pid in started(daemon).values():
        daemon.wait_for_log("serving", partial(is_of, pid))


def processes(port: int, wanted: int) -> set[str]:
    """Ask over connection after connection until `wanted` processes have answered.

    Each has a prefix of its own in the identifiers of its decisions.
    """
    seen: set[str] = set()
    limit = time.monotonic() + PATIENCE
    while len(seen) < wanted:
        assert time.monotonic() < limit, seen
        with Caller(f"127.0.0.1:{port}") as caller:
            answer = caller.check(check_request())
        assert answer.allowed
        seen.add(answer.decision_id.partition("-")[0])
    return seen


def test_workers_share_the_port_and_stop_together(site: Site, port: int) -> None:
    configure(site, port)
    with site.start() as daemon:
        wait_for_both(daemon)
        assert len(processes(port, 2)) == 2
        workers = started(daemon)
        assert len(workers) == 2
        daemon.signal(signal.SIGTERM)
        assert daemon.wait() == 0
    for pid in workers.values():
        with pytest.raises(ProcessLookupError):
            os.kill(pid, 0)
    by_process = {str(record["decision_id"]).partition("-")[0] for record in site.records()}
    assert len(by_process) == 2


def test_a_worker_that_dies_is_replaced(site: Site, port: int) -> None:
    configure(site, port)
    with site.start() as daemon:
        wait_for_both(daemon)
        before = processes(port, 2)
        known = set(started(daemon).values())
        os.kill(started(daemon)[0], signal.SIGKILL)
        daemon.wait_for_log("worker started", lambda line: line["pid"] not in known)
        wait_for_both(daemon)
        died = daemon.wait_for_log("a worker died")
        assert (died["worker"], died["exit_code"]) == (0, -signal.SIGKILL)
        assert len(processes(port, 2) - before) == 1


def test_each_worker_follows_a_decision_log_that_was_renamed(site: Site, port: int) -> None:
    configure(site, port)
    old = site.folder / "decisions.1"

    def decided() -> dict[str, set[str]]:
        """Return the processes that wrote to each of the files, by their identifiers' prefixes."""
        files = [path for path in (old, site.decisions) if path.exists()]
        return {
            path.name: {
                str(json.loads(line)["decision_id"]).partition("-")[0]
                for line in path.read_text().splitlines()
            }
            for path in files
        }

    with site.start() as daemon:
        wait_for_both(daemon)
        both = processes(port, 2)
        limit = time.monotonic() + PATIENCE
        while decided() != {site.decisions.name: both} and time.monotonic() < limit:
            time.sleep(0.01)
        site.decisions.rename(old)
        daemon.signal(signal.SIGHUP)
        while site.decisions.name not in decided() and time.monotonic() < limit:
            time.sleep(0.01)
        for _ in range(2):
            daemon.wait_for_log("the decision log was reopened")
        while decided() != {old.name: both, site.decisions.name: both}:
            assert time.monotonic() < limit, decided()
            processes(port, 2)


def test_policies_with_errors_end_all_workers(site: Site, port: int) -> None:
    configure(site, port)
    site.policy.write_text("api health {")

    ended = site.run()

    assert ended.returncode == 1
    assert "error[P0" in ended.stderr


def test_a_port_that_somebody_serves_is_not_shared(site: Site, port: int) -> None:
    configure(site, port)
    with site.start():
        second = site.run()

    assert second.returncode == 2
    assert "error[P5009]" in second.stderr
    assert f"cannot listen on `127.0.0.1:{port}`" in second.stderr


@pytest.mark.parametrize("address", ["unix:run.sock", "127.0.0.1:0"])
def test_what_cannot_be_shared_is_said(site: Site, address: str) -> None:
    site.configure(f'listen = ["{address}"]\nworkers = 2\n[dpop]\nenabled = false')

    refused = site.run()

    assert refused.returncode == 2
    assert "error[P5004]: several workers cannot share" in refused.stderr


def test_pages_cannot_share_a_unix_socket(site: Site) -> None:
    site.configure(
        'listen = ["127.0.0.1:18181"]\nworkers = 2\n[dpop]\nenabled = false\n'
        '[http]\nlisten = ["unix:pages.sock"]'
    )

    refused = site.run()

    assert refused.returncode == 2
    assert "error[P5004]: several workers cannot share `unix:" in refused.stderr


def test_workers_do_not_share_what_proofs_they_have_seen(site: Site) -> None:
    site.configure('listen = ["127.0.0.1:18181"]\nworkers = 2')

    refused = site.run()

    assert refused.returncode == 2
    assert "error[P5004]: several workers do not know which DPoP proofs" in refused.stderr
