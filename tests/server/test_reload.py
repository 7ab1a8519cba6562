"""Policies that change while the daemon serves: whole or not at all, and nobody notices."""

from __future__ import annotations

import json
import os
import subprocess
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path

import grpc
import pytest

from policyd.diagnostics import Source
from policyd.language import load
from tests.support.daemon import METRICS_KEPT, PATIENCE, Caller, Daemon, Site, check_request
from tests.support.ports import free_port
from tests.support.transports import ONE_TRANSPORT

REJECTED = "the changed policies have errors; the old ones keep serving"
WITHOUT_OVERRIDE = (
    "setpriv",
    "--bounding-set=-dac_override,-dac_read_search",
    "--inh-caps=-dac_override,-dac_read_search",
)
FAILED_LOADS = 'policyd_policy_loads_total{result="failed"}'
RELOADS = int(os.environ.get("POLICYD_RELOADS", "25"))
CALLS = 400 * RELOADS


def revision(text: str) -> str:
    """Return the revision of a policy set that consists of this one file."""
    policies = load([Source("health.policy", text)]).policies
    assert policies is not None
    return policies.revision


def wait_for_revision(caller: Caller, wanted: str) -> float:
    """Ask until that revision answers; return the seconds that it took."""
    began = time.monotonic()
    while caller.check(check_request()).policy_revision != wanted:
        assert time.monotonic() - began < PATIENCE, wanted
    return time.monotonic() - began


def wait_for_rejection(daemon: Daemon, name: str) -> str:
    """Wait until the log says that the unknown attribute `name` keeps a set out."""
    line = daemon.wait_for_log(REJECTED, lambda line: f"`{name}`" in str(line["findings"]))
    return str(line["findings"])


class Load:
    """Callers that ask without a break, and remember what went wrong."""

    def __init__(self, target: str, callers: int) -> None:
        self.calls = 0
        self.problems: list[object] = []
        self.revisions: set[str] = set()
        self._enough = threading.Event()
        self._lock = threading.Lock()
        self._threads = [threading.Thread(target=self._ask, args=(target,)) for _ in range(callers)]
        for thread in self._threads:
            thread.start()

    def _ask(self, target: str) -> None:
        request = check_request()
        with Caller(target) as caller:
            while not (self._enough.is_set() and self.calls >= CALLS):
                try:
                    answer = caller.check(request)
                except grpc.RpcError as error:
                    self.problems.append(error)
                    return
                if not answer.allowed:
                    self.problems.append(answer)
                with self._lock:
                    self.calls += 1
                    self.revisions.add(answer.policy_revision)

    def end(self) -> None:
        """Let the callers finish."""
        self._enough.set()
        for thread in self._threads:
            thread.join()


def test_reloads_under_load_fail_no_call(site: Site) -> None:
    good = site.policy.read_text()
    known = {revision(good)}
    slowest = 0.0
    pages = Pages(site)

    def failed(loads: int) -> bool:
        return pages.figure(FAILED_LOADS) == loads

    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        load_ = Load(daemon.addresses[0], callers=8)
        try:
            for n in range(RELOADS):
                site.policy.write_text(good.replace("resource.sealed", f"resource.sealt{n}"))
                # The log holds back what repeats too often; the count does not.
                wait_until(partial(failed, n + 1))
                if n < 5:
                    findings = wait_for_rejection(daemon, f"sealt{n}")
                    assert "health.policy:" in findings
                    assert "^^^" in findings
                assert caller.check(check_request()).policy_revision in known
                mended = f"{good}// {n}\n"
                site.policy.write_text(mended)
                slowest = max(slowest, wait_for_revision(caller, revision(mended)))
                known.add(revision(mended))
        finally:
            load_.end()
    print(f"{RELOADS} reloads, {load_.calls} calls, slowest {slowest:.2f} s")
    assert load_.problems == []
    assert load_.calls >= CALLS
    assert load_.revisions <= known


def test_a_mistake_keeps_the_old_policies_and_says_where(site: Site) -> None:
    good = site.policy.read_text()
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        site.policy.write_text(good.replace("resource.sealed", "resource.sealt"))
        line = daemon.wait_for_log(REJECTED)
        place = str(line["places"])
        number = good[: good.index("resource.sealed")].count("\n") + 1
        assert f"health.policy:{number}:" in place
        assert line["revision"] == revision(good) == caller.check(check_request()).policy_revision


@ONE_TRANSPORT
def test_bytes_that_are_no_text_keep_the_old_policies(site: Site) -> None:
    good = site.policy.read_text()
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        site.policy.write_bytes(b"\xff")
        assert "P0001" in str(daemon.wait_for_log(REJECTED)["findings"])
        assert caller.check(check_request()).policy_revision == revision(good)


@ONE_TRANSPORT
def test_policies_that_go_away_keep_serving_until_others_come(site: Site) -> None:
    good = site.policy.read_text()
    aside = site.folder / "aside"
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        site.policies.rename(aside)
        daemon.wait_for_log("the policies cannot be read; the old ones keep serving")
        assert caller.check(check_request()).policy_revision == revision(good)
        changed = f"{good}// changed\n"
        (aside / "health.policy").write_text(changed)
        aside.rename(site.policies)
        wait_for_revision(caller, revision(changed))


@ONE_TRANSPORT
def test_a_swapped_link_is_a_change(site: Site) -> None:
    """As Kubernetes updates a mounted ConfigMap: `..data` leads to the version in force."""
    good = site.policy.read_text()
    changed = f"{good}// changed\n"
    site.policy.unlink()
    for name, text in (("..first", good), ("..second", changed)):
        version = site.policies / name
        version.mkdir()
        (version / "health.policy").write_text(text)
    data = site.policies / "..data"
    data.symlink_to("..first")
    site.policy.symlink_to("..data/health.policy")
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert caller.check(check_request()).policy_revision == revision(good)
        swap = Path(f"{data}_tmp")
        swap.symlink_to("..second")
        swap.rename(data)
        wait_for_revision(caller, revision(changed))


@ONE_TRANSPORT
def test_a_file_saved_without_a_change_is_no_change(site: Site) -> None:
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        good = site.policy.read_text()
        site.policy.write_text(good)
        changed = f"{good}// changed\n"
        site.policy.write_text(changed)
        wait_for_revision(caller, revision(changed))
        daemon.wait_for_log("policies loaded", lambda line: line["revision"] == revision(changed))
        loads = [line["revision"] for line in daemon.log if line["message"] == "policies loaded"]
        assert loads == [revision(good), revision(changed)]


CLOSED = "\ndeny closed: any on patient\n"


class Pages:
    """What the daemon of a site tells over HTTP."""

    def __init__(self, site: Site) -> None:
        self._port = free_port()
        configuration = site.folder / "policyd.toml"
        text = configuration.read_text()
        configuration.write_text(
            text.replace("[server]", f'[http]\nlisten = ["127.0.0.1:{self._port}"]\n[server]')
        )

    def get(self, path: str) -> str:
        with urllib.request.urlopen(
            f"http://127.0.0.1:{self._port}{path}", timeout=PATIENCE
        ) as page:
            text: str = page.read().decode()
            return text

    def troubles(self) -> object:
        return json.loads(self.get("/readyz"))["troubles"]

    def figure(self, name: str) -> float:
        time.sleep(METRICS_KEPT)
        lines = (line.rpartition(" ") for line in self.get("/metrics").splitlines())
        return next(float(value) for found, _, value in lines if found == name)


def wait_until(so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < deadline
        time.sleep(0.05)


def to_itself(path: Path) -> None:
    path.symlink_to(path.name)


def to_nothing(path: Path) -> None:
    path.symlink_to("../shared/deny.policy")


def to_zeros(path: Path) -> None:
    path.symlink_to("/dev/zero")


def a_pipe(path: Path) -> None:
    os.mkfifo(path)


def a_hole(path: Path) -> None:
    with path.open("wb") as file:
        file.truncate(20 << 30)


@ONE_TRANSPORT
@pytest.mark.parametrize("bad", [to_itself, to_nothing, to_zeros, a_pipe, a_hole])
def test_a_bad_entry_is_told_of_and_blinds_nobody(site: Site, bad: Callable[[Path], None]) -> None:
    pages = Pages(site)
    entry = site.policies / "deny.policy"
    good = site.policy.read_text()
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        bad(entry)
        findings = str(daemon.wait_for_log(REJECTED)["findings"])
        assert "deny.policy" in findings
        said = "['the newest policies are not in service: policies/deny.policy:1:1: error[P0"
        assert str(pages.troubles()).startswith(said)
        assert pages.figure("policyd_policy_last_load_successful") == 0
        assert caller.check(check_request()).allowed
        entry.unlink()
        site.policy.write_text(good + CLOSED)
        wait_until(lambda: not caller.check(check_request()).allowed)
        wait_until(lambda: pages.troubles() == [])
        before = pages.figure("policyd_policy_last_look_timestamp_seconds")
        wait_until(lambda: pages.figure("policyd_policy_last_look_timestamp_seconds") > before)
        assert [line for line in daemon.log if line["message"] == REJECTED][1:] == []


@ONE_TRANSPORT
def test_pairs_of_links_blind_nobody(site: Site) -> None:
    good = site.policy.read_text()
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for number in range(22):
            (site.policies / f"d{number}").mkdir()
        for number in range(21):
            for name in "ab":
                (site.policies / f"d{number}" / name).symlink_to(f"../d{number + 1}")
        site.policy.write_text(good + CLOSED)
        wait_until(lambda: not caller.check(check_request()).allowed)


def test_a_stop_waits_for_no_pipe(site: Site) -> None:
    with site.start() as daemon:
        os.mkfifo(site.policies / "deny.policy")
        daemon.wait_for_log(REJECTED)
        assert daemon.end() == 0


@ONE_TRANSPORT
def test_a_daemon_does_not_start_on_what_it_cannot_read(site: Site) -> None:
    (site.policies / "deny.policy").symlink_to("../shared/deny.policy")
    ended = site.run()
    assert ended.returncode == 1
    assert "the link to `../shared/deny.policy` leads nowhere" in ended.stderr


@ONE_TRANSPORT
def test_a_link_that_may_leave_and_whose_target_goes_keeps_what_it_denied(site: Site) -> None:
    """A shared folder that is not mounted for a while lifts no deny."""
    shared = site.folder / "shared"
    shared.mkdir()
    (shared / "deny.policy").write_text(f"api health\n{CLOSED}")
    (site.policies / "deny.policy").symlink_to("../shared/deny.policy")
    configuration = site.folder / "policyd.toml"
    configuration.write_text(
        configuration.read_text().replace("settle", "follow_outside = true\nsettle")
    )
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert not caller.check(check_request()).allowed
        shared.rename(site.folder / "away")
        daemon.wait_for_log(REJECTED)
        assert not caller.check(check_request()).allowed
        (site.folder / "away").rename(shared)
        daemon.wait_for_log("policies loaded", lambda _: len(loads(daemon)) == 2)
        assert not caller.check(check_request()).allowed


def loads(daemon: Daemon) -> list[object]:
    return [line for line in daemon.log if line["message"] == "policies loaded"]


@ONE_TRANSPORT
def test_a_folder_without_permission_ends_no_watch(site: Site) -> None:
    """As root, who is kept out by nothing, it drops what lets it in."""
    sub = site.policies / "sub"
    sub.mkdir()
    (sub / "more.policy").write_text("api health\n")
    good = site.policy.read_text()
    prefix: tuple[str, ...] = ()
    if os.geteuid() == 0:
        prefix = WITHOUT_OVERRIDE
        if subprocess.run((*prefix, "true"), check=False, capture_output=True).returncode:
            pytest.skip("setpriv cannot drop the capabilities that let root in everywhere")
    with site.start(prefix=prefix) as daemon, Caller(daemon.addresses[0]) as caller:
        try:
            sub.chmod(0)
            assert "Permission denied" in str(daemon.wait_for_log(REJECTED)["findings"])
            assert caller.check(check_request()).allowed
        finally:
            sub.chmod(0o755)
        site.policy.write_text(good + CLOSED)
        wait_until(lambda: not caller.check(check_request()).allowed)


@ONE_TRANSPORT
@pytest.mark.parametrize("name", ["deny.POLICY", "deny.polciy", ".deny.policy", "more_test.policy"])
def test_a_misnamed_file_is_warned_of(site: Site, name: str) -> None:
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        (site.policies / name).write_text(f"api health\n{CLOSED}")
        line = daemon.wait_for_log("the policies have warnings")
        assert name in str(line["findings"])
        assert caller.check(check_request()).allowed
