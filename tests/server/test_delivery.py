"""A daemon that delivers its decision records: to servers, over restarts, and past what fails."""

from __future__ import annotations

import json
import resource as limits
import signal
import socket
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from policyd.v1 import authorization_pb2 as messages
from tests.server.test_decision_log import ask, come_to_be, names
from tests.support.collector import Answer, Collector, Post, collecting
from tests.support.daemon import Caller, Daemon, Site, access_token, check_request, resource
from tests.support.transports import ONE_TRANSPORT

PROGRAM = "from policyd.cli.main import main; main()"
PAGES = '[http]\nlisten = ["127.0.0.1:0"]\n'


def delivering(site: Site, url: str, log: str = "", sink: str = "", further: str = PAGES) -> None:
    """Let records go to a server too; `log` and `sink` are more keys of the two tables."""
    site.configure(
        decision_log=f'path = "decisions.ndjson"\n{log}\n[[decision_log.sinks]]\nkind = "http"\n'
        f'url = "{url}"\nbatch_seconds = 0.02\ntimeout = 0.3\n{sink}\n{further}'
    )


def taken(collector: Collector) -> list[object]:
    """Return what a server took: request identifiers, and the counts of gaps."""
    lines = map(json.loads, collector.lines)
    return [line.get("request_id", line.get("dropped")) for line in lines]


def shown(daemon: Daemon, figure: str) -> None:
    """Wait until the page of metrics has a line."""
    come_to_be(lambda: figure in daemon.page("/metrics"), wanted=True)


@ONE_TRANSPORT
def test_records_go_to_each_sink(site: Site) -> None:
    with collecting() as collector:
        delivering(site, collector.url, sink="gzip = true")
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            ask(caller, "a", "b")
            come_to_be(lambda: taken(collector), ["a", "b"])
            come_to_be(lambda: names(site.decisions), ["a", "b"])
            for said in ('delivered_total{sink="http"} 2.0', 'lag{sink="file"} 0.0'):
                shown(daemon, f"policyd_decision_log_sink_{said}")
            ask(caller, "c")
        assert taken(collector) == ["a", "b", "c"]  # what was there at the stop as well
    assert names(site.decisions) == ["a", "b", "c"]
    assert (site.folder / "spool" / "0" / "http.cursor").read_text().startswith("0" * 19 + "3 ")


@ONE_TRANSPORT
def test_a_restart_delivers_the_backlog(site: Site) -> None:
    with collecting(lambda _: Answer(503)) as down:
        delivering(site, down.url)
        for name in ("a", "b"):
            with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
                ask(caller, name)
                come_to_be(lambda: bool(down.posts), wanted=True)
                trouble = daemon.page("/readyz")
    assert "the sink `http`: answered 503" in trouble
    assert names(site.decisions) == ["a", "b"]
    with collecting() as collector:
        delivering(site, collector.url)
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            come_to_be(lambda: taken(collector), ["a", "b"])
            ask(caller, "c")
            come_to_be(lambda: taken(collector), ["a", "b", "c"])


def test_a_server_that_hangs_delays_nothing_and_is_a_trouble(site: Site) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        delivering(site, f"http://127.0.0.1:{listener.getsockname()[1]}/")
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            ask(caller, "a")
            come_to_be(lambda: names(site.decisions), ["a"])
            come_to_be(
                lambda: "`http`: took longer than 0.3 s; 1 record waits" in daemon.page("/readyz"),
                wanted=True,
            )
            ask(caller, "b")
            come_to_be(lambda: names(site.decisions), ["a", "b"])
            log = daemon.log
    assert "records wait for a sink" in [line["message"] for line in log]


@ONE_TRANSPORT
def test_the_one_record_that_a_server_refuses_is_parked(site: Site) -> None:
    def judge(post: Post) -> Answer:
        return Answer(400, b"bad") if any(b'"bad"' in line for line in post.lines) else Answer(200)

    with collecting(judge) as collector:
        delivering(site, collector.url, sink="batch_records = 50")
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            ask(caller, *(f"a{n}" for n in range(20)), "bad", "b")
            come_to_be(lambda: taken(collector)[-1:], ["b"])
            parked = names(site.folder / "spool" / "0" / "http.parked.ndjson")
            shown(daemon, 'sink_parked_total{sink="http"} 1.0')
            ready = daemon.page("/readyz")
    assert taken(collector) == [*(f"a{n}" for n in range(20)), "b"]
    assert parked == ["bad"]
    assert "http" not in ready


@ONE_TRANSPORT
def test_an_operator_sees_each_sink(site: Site) -> None:
    with collecting(lambda _: Answer(503)) as down:
        delivering(site, down.url)
        text = (site.folder / "policyd.toml").read_text()
        listens = '[server]\nadmin_listen = ["unix:admin.sock"]'
        (site.folder / "policyd.toml").write_text(text.replace("[server]", listens, 1))
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            ask(caller, "a", "b")
            shown(daemon, 'policyd_decision_log_sink_delivered_total{sink="file"} 2.0')
            come_to_be(lambda: "answered 503" in daemon.page("/readyz"), wanted=True)
            target = f"unix:{site.folder / 'admin.sock'}"
            told = subprocess.run(
                [sys.executable, "-c", PROGRAM, "status", "--target", target],
                capture_output=True,
                text=True,
                check=False,
            )
    assert told.returncode == 1
    assert "file  2 delivered, 0 waiting\n" in told.stdout
    assert "http  0 delivered, 2 waiting\n" in told.stdout
    assert "the sink `http`: answered 503" in told.stdout


def test_killed_with_a_backlog_it_loses_nothing(site: Site) -> None:
    with collecting(lambda _: Answer(500)) as down:
        delivering(site, down.url, 'durability = "sync"')
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            ask(caller, *(f"a{n}" for n in range(30)))
            daemon.signal(signal.SIGKILL)
            daemon.process.wait()
    with collecting() as collector:
        delivering(site, collector.url, 'durability = "sync"')
        with site.start() as daemon:
            come_to_be(lambda: taken(collector), [f"a{n}" for n in range(30)])


@ONE_TRANSPORT
def test_what_no_longer_fits_is_a_gap_of_the_exact_length(site: Site) -> None:
    what = resource("patient", "p1", sealed=False)
    batch = messages.BatchCheckRequest(
        access_token=access_token(),
        api="health",
        items=[messages.BatchCheckItem(action="read", resource=what)] * 500,
    )
    with collecting(lambda _: Answer(503)) as down:
        delivering(site, down.url, "max_bytes = 1048576")
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            for number in range(1, 9):
                caller.batch_check(batch)
                come_to_be(lambda n=number: len(names(site.decisions)), 500 * number)  # type: ignore[misc]
            spool = sum(path.stat().st_size for path in site.folder.glob("spool/0/*.segment"))
    assert spool <= 1048576
    with collecting() as collector:
        delivering(site, collector.url, "max_bytes = 1048576")
        with site.start():
            come_to_be(lambda: len(collector.lines) > 1000, wanted=True)
    every = site.decisions.read_bytes().splitlines()
    lines = collector.lines
    (gap,) = (json.loads(line)["dropped"] for line in lines if b'"gap"' in line)
    # The batch that a courier holds in memory while its segment goes is delivered all the same.
    at = next(n for n, line in enumerate(lines) if b'"gap"' in line)
    assert lines[:at] == every[:at]
    assert lines[at + 1 :] == every[at + gap :]
    assert len(every) == 4000


def test_a_spool_that_cannot_be_written_denies_and_goes_on_without_a_restart(site: Site) -> None:
    unlimited = limits.RLIM_INFINITY
    with collecting() as collector:
        delivering(site, collector.url, 'durability = "sync"\nwhen_full = "deny"')
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            process = daemon.process.pid
            told: list[str] = []

            def reason() -> str:
                try:
                    told.append(str(caller.check(check_request()).reason))
                except grpc.RpcError as error:
                    told.append(str(error.code().name))
                return told[-1]

            assert reason() == "ALLOWED"
            limits.prlimit(process, limits.RLIMIT_FSIZE, (100, unlimited))
            assert [reason(), reason(), reason()] == ["UNAVAILABLE", *["LOG_UNAVAILABLE"] * 2]
            ready = daemon.page("/readyz")
            limits.prlimit(process, limits.RLIMIT_FSIZE, (unlimited, unlimited))
            come_to_be(reason, "ALLOWED")
            come_to_be(lambda: "the decision log" in daemon.page("/readyz"), wanted=False)
    assert "the spool cannot be written: File too large" in ready
    assert collector.lines == site.decisions.read_bytes().splitlines()
    # That of the call which was told UNAVAILABLE is there too: it was decided.
    assert len(collector.lines) == told.count("ALLOWED") + told.count("UNAVAILABLE")


@ONE_TRANSPORT
def test_two_daemons_do_not_share_a_spool(site: Site) -> None:
    with collecting() as collector:
        delivering(site, collector.url, further="")
        with site.start():
            run = site.run()
    assert run.returncode == 2
    assert "is in use by another process" in run.stderr
    assert "give each daemon a folder of its own" in run.stderr


@ONE_TRANSPORT
@pytest.mark.parametrize("kind", ["file", "none"])
def test_a_folder_that_cannot_be_made_is_an_error(site: Site, kind: str) -> None:
    (site.folder / "spool").write_text("a file")
    delivering(site, "http://127.0.0.1:1/", further="")
    run = site.run()
    assert run.returncode == 2
    assert "the spool" in run.stderr


@ONE_TRANSPORT
def test_what_a_worker_left_is_delivered_by_the_first(site: Site, tmp_path: Path) -> None:
    with collecting(lambda _: Answer(500)) as down:
        delivering(site, down.url)
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            ask(caller, "a", "b")
            come_to_be(lambda: names(site.decisions), ["a", "b"])
    spool = site.folder / "spool"
    (spool / "0").rename(spool / "3")
    with collecting() as collector:
        delivering(site, collector.url)
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            ask(caller, "c")
            come_to_be(lambda: sorted(map(str, taken(collector))), ["a", "b", "c"])


@ONE_TRANSPORT
def test_a_file_is_rotated_by_the_daemon(site: Site) -> None:
    site.configure(
        decision_log='[[decision_log.sinks]]\nkind = "file"\npath = "decisions.ndjson"\n'
        "rotate_bytes = 4096\nkeep = 2\ngzip = true\n"
    )
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for number in range(40):
            ask(caller, f"a{number}")
            come_to_be(lambda n=number: names(site.decisions)[-1:], [f"a{number}"])  # type: ignore[misc]
    rotated = sorted(path.name for path in site.folder.glob("decisions.ndjson.*"))
    assert 1 <= len(rotated) <= 3  # one may still be removed when it ends
    assert all(path.stat().st_size <= 4096 for path in site.folder.glob("decisions.ndjson*"))
    assert not (site.folder / "spool").exists()
