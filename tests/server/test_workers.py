"""Several workers: they share a port, and one that dies is replaced."""

from __future__ import annotations

import json
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from functools import partial
from http.client import HTTPConnection

import pytest

from tests.support.daemon import (
    METRICS_KEPT,
    PATIENCE,
    Caller,
    Daemon,
    LogLine,
    Site,
    check_request,
)
from tests.support.ports import free_port


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


ALLOWED = 'policyd_decisions_total{api="health",effect="allow",reason="ALLOWED"}'


class Crew:
    """A daemon with two workers, and the page that shows both."""

    def __init__(self, daemon: Daemon, port: int, page: str = "") -> None:
        self.daemon = daemon
        self.port = port
        bound = daemon.wait_for_log("showing the pages of all workers")["http"]
        assert isinstance(bound, list)
        self.page = page or str(bound[0])

    def get(self, path: str) -> tuple[int, str]:
        connection = HTTPConnection(self.page, timeout=PATIENCE)
        try:
            connection.request("GET", path)
            response = connection.getresponse()
            return response.status, response.read().decode()
        finally:
            connection.close()

    def ready(self) -> tuple[int, list[str]]:
        status, body = self.get("/readyz")
        return status, json.loads(body)["reasons"]

    def wait(self, holds: Callable[[], bool]) -> None:
        limit = time.monotonic() + PATIENCE
        while not holds():
            assert time.monotonic() < limit, (self.ready(), self.daemon.log)
            time.sleep(0.01)

    def wait_until_ready(self) -> None:
        self.wait(lambda: self.ready() == (200, []))

    def figures(self) -> dict[str, float]:
        time.sleep(METRICS_KEPT)
        lines = self.get("/metrics")[1].splitlines()
        split = (line.rpartition(" ") for line in lines if not line.startswith("#"))
        return {name: float(value) for name, _, value in split}

    def ask_and_see(self, times: int) -> float:
        """Ask, each time over a new connection, which may lead to either; return the count of all
        allows once that has gone up by as many."""
        # What other tests asked is counted when the count rests.
        before = -1.0
        while (now := self.figures().get(ALLOWED, 0.0)) != before:
            before = now
            time.sleep(0.2)
        for _ in range(times):
            with Caller(f"127.0.0.1:{self.port}") as caller:
                assert caller.check(check_request()).allowed
        self.wait(lambda: self.figures().get(ALLOWED) == before + times)
        return before + times


@pytest.fixture(scope="module")
def crew(transport: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Crew]:
    """A daemon of two workers, for tests that leave it serving."""
    site, port = Site(tmp_path_factory.mktemp("crew"), transport), free_port()
    site.configure(
        f'listen = ["127.0.0.1:{port}"]\nworkers = 2\n[dpop]\nenabled = false\n'
        '[http]\nlisten = ["127.0.0.1:0"]'
    )
    with site.start() as daemon:
        crew = Crew(daemon, port)
        crew.wait_until_ready()
        yield crew


def test_one_page_counts_what_all_workers_decide(crew: Crew) -> None:
    processes(crew.port, 2)
    crew.ask_and_see(3)
    found = crew.figures()
    assert found["policyd_serving"] == 1
    assert found["policyd_policy_rules"] > 0
    assert [found[f'policyd_worker_up{{worker="{n}"}}'] for n in (0, 1)] == [1, 1]
    status, body = crew.get("/.well-known/oauth-protected-resource/health-api")
    assert (status, crew.get("/healthz")[0]) == (200, 200), body


def test_a_worker_that_hangs_holds_up_no_page(crew: Crew) -> None:
    counted = crew.ask_and_see(3)
    pid = started(crew.daemon)[1]
    os.kill(pid, signal.SIGSTOP)
    try:
        assert crew.ready() == (503, ["worker 1: no answer: nothing within 2 seconds"])
        found = crew.figures()
        assert found['policyd_worker_up{worker="1"}'] == 0
        assert found[ALLOWED] == counted
    finally:
        os.kill(pid, signal.SIGCONT)
    crew.wait_until_ready()
    assert crew.figures()['policyd_worker_up{worker="1"}'] == 1


@pytest.mark.slow
def test_a_worker_that_hangs_is_replaced(site: Site, port: int) -> None:
    site.configure(
        f'listen = ["127.0.0.1:{port}"]\nworkers = 2\nworker_timeout = 3\n[dpop]\nenabled = false\n'
        '[http]\nlisten = ["127.0.0.1:0"]'
    )
    with site.start() as daemon:
        crew = Crew(daemon, port)
        crew.wait_until_ready()
        pid = started(daemon)[1]
        os.kill(pid, signal.SIGSTOP)
        hung = daemon.wait_for_log("a worker hangs; it is replaced", partial(is_hung, pid))
        assert hung["worker"] == 1
        daemon.wait_for_log(
            "worker started", lambda line: line["worker"] == 1 and line["pid"] != pid
        )
        crew.wait_until_ready()
        found = crew.figures()
        assert found['policyd_worker_hangs_total{worker="1"}'] >= 1
        assert found['policyd_worker_starts_total{worker="1"}'] >= 2


def is_hung(pid: int, line: LogLine) -> bool:
    return line.get("pid") == pid


def test_counts_outlive_the_worker_that_counted(crew: Crew) -> None:
    counted = crew.ask_and_see(3)
    for pid in started(crew.daemon).values():
        os.kill(pid, signal.SIGKILL)
    for status in (503, 200):
        while True:
            assert crew.figures()[ALLOWED] == counted
            if crew.ready()[0] == status:
                break
            time.sleep(0.05)
    assert crew.ask_and_see(3) == counted + 3
    found = crew.figures()
    assert [found[f'policyd_worker_starts_total{{worker="{n}"}}'] for n in (0, 1)] == [2, 2]


def test_a_listener_of_all_workers_shows_the_page_of_all(site: Site, port: int) -> None:
    web = free_port()
    site.listen(
        f'address = "127.0.0.1:{port}"\nservices = ["authorization"]',
        f'address = "127.0.0.1:{web}"\nservices = ["connect", "pages"]',
        further="[dpop]\nenabled = false\n",
    )
    path = site.folder / "policyd.toml"
    path.write_text(path.read_text().replace("drain = 0\n", "drain = 0\nworkers = 2\n"))
    with site.start() as daemon:
        crew = Crew(daemon, port, f"127.0.0.1:{web}")
        crew.wait_until_ready()
        assert crew.ask_and_see(5) == 5


def test_pages_alone_may_be_at_a_unix_socket(site: Site, port: int) -> None:
    site.configure(
        f'listen = ["127.0.0.1:{port}"]\nworkers = 2\n[dpop]\nenabled = false\n'
        '[http]\nlisten = ["unix:pages.sock"]'
    )
    with site.start(), socket.socket(socket.AF_UNIX) as connection:
        connection.connect(str(site.folder / "pages.sock"))
        connection.sendall(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n")
        assert connection.recv(100).startswith(b"HTTP/1.1 200")
    assert not (site.folder / "pages.sock").exists()


def test_workers_do_not_share_what_proofs_they_have_seen(site: Site) -> None:
    site.configure('listen = ["127.0.0.1:18181"]\nworkers = 2')

    refused = site.run()

    assert refused.returncode == 2
    assert "error[P5004]: several workers do not know which DPoP proofs" in refused.stderr
