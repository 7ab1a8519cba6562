"""Alerts and dashboard: they speak of figures that there are, and Prometheus answers them.

Where promtool or prometheus is not installed, what needs it is skipped.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import threading
import time
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from policyd.v1 import authorization_pb2 as messages
from tests.support.certificates import self_signed
from tests.support.daemon import (
    ISSUER,
    PATIENCE,
    SERVICE,
    Caller,
    Site,
    check_request,
    resource,
)
from tests.support.documents import ROOT
from tests.support.ports import free_port

PROMETHEUS = ROOT / "deploy" / "prometheus"
DASHBOARD = json.loads((ROOT / "deploy" / "grafana" / "policyd.json").read_text())
PANELS = {one["title"]: one for one in DASHBOARD["panels"] if one["type"] != "row"}
ALERTS = {
    rule["alert"]: rule
    for group in yaml.safe_load((PROMETHEUS / "rules.yaml").read_text())["groups"]
    for rule in group["rules"]
}
_NAME = re.compile(r"\b(?:policyd|process)_[a-z_]+\b")
#: What a histogram's parts end in.
_PARTS = ("_bucket", "_sum", "_count")


def needs(program: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(
        shutil.which(program) is None, reason=f"{program} is not installed (apt install prometheus)"
    )


def expressions() -> Iterator[tuple[str, str]]:
    """Yield each expression with where it stands."""
    for title, panel in PANELS.items():
        for target in panel["targets"]:
            yield title, target["expr"]
    for name, rule in ALERTS.items():
        yield name, rule["expr"]


def test_figures_are_those_that_the_page_names() -> None:
    page = (ROOT / "docs" / "metrics.md").read_text()
    known = set(_NAME.findall(page))
    for where, expression in expressions():
        for name in _NAME.findall(expression):
            whole = name
            for part in _PARTS:
                whole = whole.removesuffix(part)
            assert whole in known or whole.startswith("process_"), f"{where}: {name}"


def test_each_alert_is_on_the_page_and_the_page_names_no_other() -> None:
    page = (ROOT / "docs" / "alerts.md").read_text()
    assert set(re.findall(r"\bPolicyd[A-Z][A-Za-z]+\b", page)) == ALERTS.keys()


def test_each_alert_says_whom_it_is_for_and_what_is_wrong() -> None:
    for rule in ALERTS.values():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"]


@needs("promtool")
def test_promtool_accepts_the_files_and_their_tests_hold(tmp_path: Path) -> None:
    for command in (
        ("check", "config", "prometheus.yaml"),
        ("check", "rules", "rules.yaml"),
        ("test", "rules", "rules_test.yaml"),
    ):
        done = subprocess.run(
            ["promtool", *command], cwd=PROMETHEUS, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr


@needs("promtool")
def test_a_rule_that_says_something_else_fails_its_test(tmp_path: Path) -> None:
    shutil.copy(PROMETHEUS / "rules_test.yaml", tmp_path)
    text = (PROMETHEUS / "rules.yaml").read_text()
    (tmp_path / "rules.yaml").write_text(text.replace("writable == 0", "writable == 1"))
    done = subprocess.run(
        ["promtool", "test", "rules", "rules_test.yaml"],
        cwd=tmp_path,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 1


def revoke(folder: Path, *options: str) -> None:
    """Write to the list of revocations that a daemon's configuration names."""
    program = "from policyd.cli.main import main; main()"
    command = [sys.executable, "-c", program, "revoke", *options]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)


@contextmanager
def daemon(folder: Path) -> Iterator[str]:
    """Run a daemon of two workers with all that has figures, under some load; yield its page's
    address."""
    site = Site(folder)
    pair = self_signed(begin=time.time() - 60)
    (folder / "cert.pem").write_bytes(pair.certificate)
    (folder / "key.pem").write_bytes(pair.key)
    port, calls, encrypted = free_port(), free_port(), free_port()
    site.configure(
        f'listen = ["127.0.0.1:{calls}"]\nworkers = 2\n[dpop]\nenabled = false\n'
        f'[[listeners]]\naddress = "127.0.0.1:{encrypted}"\nservices = ["authorization"]\n'
        'tls = { certificate = "cert.pem", private_key = "key.pem" }\n'
        f'[http]\nlisten = ["127.0.0.1:{port}"]\n[revocations]\nfile = "revoked.ndjson"\n'
        '[policies.shadow]\npath = "next"\nsample = 1.0\n',
        'path = "decisions.ndjson"\n[[decision_log.sinks]]\nkind = "file"\nname = "second"\n'
        'path = "second.ndjson"\n',
    )
    shutil.copytree(site.policies, folder / "next")
    revoke(folder, "--create")
    revoke(folder, "--subject", "nobody", "--issuer", ISSUER)
    with site.start() as running, Caller(running.addresses[0]) as caller:
        over = threading.Event()

        def load() -> None:
            allowed = check_request(resource=resource("patient", "p1", sealed=False))
            denied = check_request(resource=resource("patient", "p1", sealed=True))
            refused = check_request("no token", resource=resource("patient", "p1", sealed=False))
            partial = messages.PartialCheckRequest(
                access_token=allowed.access_token,
                api=allowed.api,
                action=allowed.action,
                resource=resource("patient", "p1"),
                assumed_unknown=["resource.sealed"],
            )
            while not over.wait(0.01):
                for request in (allowed, denied, refused):
                    caller.check(request)
                caller.raw(f"{SERVICE}/PartialCheck", partial.SerializeToString())

        asking = threading.Thread(target=load)
        asking.start()
        try:
            yield f"127.0.0.1:{port}"
        finally:
            over.set()
            asking.join()


@contextmanager
def prometheus(folder: Path, target: str) -> Iterator[str]:
    """Run Prometheus with the rules, scraping one target each second; yield its address."""
    settings = yaml.safe_load((PROMETHEUS / "prometheus.yaml").read_text())
    settings["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings["rule_files"] = [str(PROMETHEUS / "rules.yaml")]
    settings["scrape_configs"][0]["static_configs"][0]["targets"] = [target]
    (folder / "prometheus.yaml").write_text(yaml.safe_dump(settings))
    address = f"127.0.0.1:{free_port()}"
    process = subprocess.Popen(
        ["prometheus", "--config.file=prometheus.yaml", "--storage.tsdb.path=data",
         f"--web.listen-address={address}", "--log.level=error"],
        cwd=folder,
    )  # fmt: skip
    try:
        yield address
    finally:
        process.terminate()
        process.wait()


def asked(address: str, path: str, **values: str) -> object:
    """Return the data of an answer of Prometheus's API, `None` while there is none."""
    url = f"http://{address}/api/v1/{path}?{urllib.parse.urlencode(values)}"
    try:
        with urllib.request.urlopen(url, timeout=PATIENCE) as answer:
            return json.load(answer)["data"]
    except (OSError, ValueError):
        return None


def query(address: str, expression: str) -> list[object]:
    data = asked(address, "query", query=expression)
    result = data["result"] if isinstance(data, dict) else []
    assert isinstance(result, list)
    return result


@pytest.mark.slow
@pytest.mark.skipif(
    os.environ.get("POLICYD_MONITORING") != "1", reason="`make monitoring` runs a real Prometheus"
)
@needs("prometheus")
def test_each_panel_shows_data_and_each_alert_can_be_evaluated(tmp_path: Path) -> None:
    (tmp_path / "daemon").mkdir()
    (tmp_path / "prometheus").mkdir()
    with (
        daemon(tmp_path / "daemon") as page,
        prometheus(tmp_path / "prometheus", page) as address,
    ):
        empty = dict.fromkeys(PANELS)
        end = time.monotonic() + 2 * PATIENCE
        while empty and time.monotonic() < end:
            for title in [*empty]:
                exprs = [one["expr"] for one in PANELS[title]["targets"]]
                if all(query(address, _filled(one)) for one in exprs):
                    del empty[title]
            time.sleep(0.2)
        assert not empty, f"panels without data: {sorted(empty)}"
        rules = asked(address, "rules")
        assert isinstance(rules, dict)
        states = {
            rule["name"]: rule["health"] for group in rules["groups"] for rule in group["rules"]
        }
        assert states == dict.fromkeys(ALERTS, "ok")
        firing = asked(address, "alerts")
        assert isinstance(firing, dict)
        pages = [one for one in firing["alerts"] if one["labels"]["severity"] == "page"]
        assert pages == []


def _filled(expression: str) -> str:
    """Put values in the places of the dashboard's variables."""
    return expression.replace("$__rate_interval", "10s").replace("$instance", ".*")
