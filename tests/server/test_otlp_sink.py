"""The decision log of a daemon at receivers of OTLP: one of the tests, and a real collector."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from tests.support.daemon import PATIENCE, Caller, Site, check_request
from tests.support.otlp import COLLECTOR, collecting, receiver
from tests.support.transports import ONE_TRANSPORT

pytestmark = ONE_TRANSPORT


def configure(site: Site, url: str) -> None:
    site.configure(
        decision_log='path = "decisions.ndjson"\n[[decision_log.sinks]]\nkind = "otlp"\n'
        f'url = "{url}/v1/logs"\nbatch_seconds = 0.01'
    )


def test_records_arrive_once_the_collector_is_there(site: Site) -> None:
    with receiver() as received:
        configure(site, received.http)
        received.refusing = lambda: 503
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            ids = [caller.check(check_request()).decision_id for _ in range(3)]
            received.wait(lambda it: it.exports > 1)
            assert daemon.wait_for_log("records wait for a sink")["sink"] == "otlp"
            received.refusing = lambda: None
            received.wait(lambda it: len(it.logs) == 3)
    assert [log.attributes["policyd.decision_id"] for log in received.logs] == ids
    bodies = [json.loads(str(log.body)) for log in received.logs]
    assert bodies == site.records()


@pytest.mark.slow
@pytest.mark.skipif(COLLECTOR is None, reason="no collector: name one with POLICYD_COLLECTOR")
def test_a_real_collector_takes_the_records(site: Site) -> None:
    with collecting(site.folder, "logs") as collector:
        configure(site, collector.http)
        with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
            decision_id = caller.check(check_request()).decision_id
            collector.wait_for(f"policyd.decision_id: Str({decision_id})")
    said = collector.said()
    assert "EventName: policyd.decision" in said
    assert '"reason":"ALLOWED"' in said


def test_without_the_extra_the_configuration_says_so(site: Site) -> None:
    configure(site, "http://127.0.0.1:1")
    hiding = (
        "import importlib.util as u, sys\nfind = u.find_spec\n"
        'u.find_spec = lambda n, *p: None if n.startswith("opentelemetry") else find(n, *p)\n'
        "from policyd.cli.main import main\n"
        'sys.argv = ["policyd", "serve", "--config", "policyd.toml"]\nmain()'
    )
    done = subprocess.run(
        [sys.executable, "-c", hiding],
        cwd=site.folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 2
    assert "OTLP needs a package that is not installed" in done.stderr
    assert "pip install 'policyd[otel]'" in done.stderr
