"""Policies that change while the daemon serves: whole or not at all, and nobody notices."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path

import grpc

from policyd.diagnostics import Source
from policyd.language import load
from tests.support.daemon import PATIENCE, Caller, Daemon, Site, check_request

REJECTED = "the changed policies have errors; the old ones keep serving"
RELOADS = int(os.environ.get("POLICYD_RELOADS", "50"))
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
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        load_ = Load(daemon.addresses[0], callers=8)
        try:
            for n in range(RELOADS):
                site.policy.write_text(good.replace("resource.sealed", f"resource.sealt{n}"))
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


def test_bytes_that_are_no_text_keep_the_old_policies(site: Site) -> None:
    good = site.policy.read_text()
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        site.policy.write_bytes(b"\xff")
        assert "P0001" in str(daemon.wait_for_log(REJECTED)["findings"])
        assert caller.check(check_request()).policy_revision == revision(good)


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
