"""Shadow policies decide a sample beside those that serve, and answer nobody."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from policyd.server.wire.admin import ShadowDifferences
from tests.server.test_admin import policyd
from tests.server.test_git import CLOSED, GOOD, GitSite, wait_until
from tests.support.daemon import Caller, Daemon, Site, check_request
from tests.support.transports import ONE_TRANSPORT

pytestmark = ONE_TRANSPORT

LATER = "later"


def with_shadow(site: Site, shadow: str) -> None:
    """Let a site have a shadow, and an admin listener."""
    path = site.folder / "policyd.toml"
    text = path.read_text().replace(
        "[server]\n", f"[policies.shadow]\nsample = 1.0\n{shadow}\n[server]\n", 1
    )
    text = text.replace("[server]\n", '[server]\nadmin_listen = ["unix:admin.sock"]\n')
    if "[http]" not in text:
        text = text.replace("[decision_log]", '[http]\nlisten = ["127.0.0.1:0"]\n[decision_log]')
    path.write_text(text)


def figure(daemon: Daemon, name: str) -> float:
    found = [line for line in daemon.page("/metrics").splitlines() if line.startswith(name)]
    return sum(float(line.rpartition(" ")[2]) for line in found)


def listed(site: Site) -> ShadowDifferences:
    done = policyd(site.folder, "shadow", "--format", "json")
    assert done.stderr == ""
    return msgspec.json.decode(done.stdout, type=ShadowDifferences)


@pytest.fixture
def folder_site(site: Site) -> Site:
    later = site.folder / LATER
    later.mkdir()
    (later / "health.policy").write_text(site.policy.read_text() + CLOSED)
    with_shadow(site, f'path = "{LATER}"')
    return site


def in_use(daemon: Daemon) -> bool:
    return figure(daemon, "policyd_shadow_policy_info") == 1


def test_what_would_differ_is_told_everywhere_and_changes_no_answer(folder_site: Site) -> None:
    with folder_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        wait_until(lambda: in_use(daemon))
        answers = [caller.check(check_request()) for _ in range(5)]
        assert all(one.allowed for one in answers)
        assert not caller.check(check_request(action="delete")).allowed  # as the shadow decides
        wait_until(lambda: figure(daemon, "policyd_shadow_checks_total") == 6)
        name = 'policyd_shadow_checks_total{api="health",result='
        assert figure(daemon, f'{name}"differs"') == 5
        assert figure(daemon, f'{name}"same"') == 1
        found = listed(folder_site)
        assert (found.checked, found.different, found.uncertain) == (6, 5, 0)
        (one,) = found.differences
        assert (one.before, one.after, one.count) == ("allowed", "denied", 5)
        assert one.rules_after == ("closed",)
        assert one.decision_id == answers[-1].decision_id
        shown = policyd(folder_site.folder, "shadow")
        assert shown.returncode == 0
        assert "5 × allowed by reads, denied by closed in the shadow" in shown.stdout
        assert policyd(folder_site.folder, "shadow", "--fail-on", "any").returncode == 1
        assert daemon.troubles() == []
    records = folder_site.records()
    told = [one for one in records if one["type"] == "shadow"]
    assert [one["decision_id"] for one in told] == [one.decision_id for one in answers]
    assert {one["effect"] for one in told} == {"allow"}
    assert told[0]["shadow_answers"] == ["deny"]
    assert told[0]["shadow_rules"] == ["closed"]
    assert told[0]["sample_rate"] == 1.0
    at = {one["decision_id"]: number for number, one in reversed(list(enumerate(records)))}
    assert all(records.index(one) > at[one["decision_id"]] for one in told)


def test_a_shadow_that_does_not_load_is_trouble_of_its_own(folder_site: Site) -> None:
    later = folder_site.folder / LATER / "health.policy"
    good = later.read_text()
    later.write_text(good + "\nallow nonsense\n")
    with folder_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        wait_until(lambda: len(daemon.troubles()) == 1)
        (trouble,) = daemon.troubles()
        assert trouble.startswith("the newest shadow policies are not in use")
        assert f"{LATER}/health.policy:" in trouble
        assert caller.check(check_request()).allowed
        done = policyd(folder_site.folder, "shadow")
        assert done.returncode == 1
        assert "not in use" in done.stdout
        later.write_text(good)
        wait_until(lambda: daemon.troubles() == [] and in_use(daemon))
        assert caller.check(check_request()).allowed
        wait_until(lambda: figure(daemon, "policyd_shadow_checks_total") == 1)


def test_a_shadow_that_is_not_there_is_trouble_until_it_is(site: Site) -> None:
    with_shadow(site, f'path = "{LATER}"')
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        wait_until(lambda: len(daemon.troubles()) > 0)
        assert LATER in daemon.troubles()[0]
        assert caller.check(check_request()).allowed
        (site.folder / LATER).mkdir()
        (site.folder / LATER / "health.policy").write_text(GOOD)
        wait_until(lambda: daemon.troubles() == [] and in_use(daemon))


def test_it_follows_a_ref_even_a_rewritten_one(tmp_path: Path, transport: str) -> None:
    git_site = GitSite(tmp_path, transport)
    first = git_site.repository.head
    with_shadow(git_site, 'ref = "next"')
    next_ = git_site.repository.commit({"policies/health.policy": GOOD + CLOSED}, push=False)
    git_site.repository.push(f"{next_}:refs/heads/next")
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        wait_until(lambda: in_use(daemon))
        answer = caller.check(check_request())
        assert (answer.allowed, answer.policy_commit) == (True, first)
        wait_until(lambda: listed(git_site).different == 1)
        found = listed(git_site)
        assert found.policies.provenance.commit == next_
        git_site.repository.git("reset", "--quiet", "--hard", first)
        other = git_site.repository.commit(
            {"policies/health.policy": GOOD + "// another\n"}, push=False
        )
        git_site.repository.push("--force", f"{other}:refs/heads/next")
        wait_until(lambda: figure(daemon, f'policyd_shadow_policy_info{{commit="{other}"') == 1)
        assert listed(git_site).different == 0, "counted against what is there"
        assert caller.check(check_request()).policy_commit == first
        assert daemon.troubles() == []
    (told,) = [one for one in git_site.records() if one["type"] == "shadow"]
    assert (told["commit"], told["shadow_commit"]) == (first, next_)


def test_what_serves_may_become_what_the_shadow_is(folder_site: Site) -> None:
    with folder_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        wait_until(lambda: in_use(daemon))
        assert caller.check(check_request()).allowed
        wait_until(lambda: listed(folder_site).different == 1)
        folder_site.policy.write_text(folder_site.policy.read_text() + CLOSED)
        wait_until(lambda: not caller.check(check_request()).allowed)
        wait_until(lambda: listed(folder_site).checked != 0)
        found = listed(folder_site)
        assert found.different == 0
        assert found.serving_revision == found.policies.revision


def test_who_has_no_shadow_is_told_so(site: Site) -> None:
    path = site.folder / "policyd.toml"
    path.write_text(
        path.read_text().replace("[server]\n", '[server]\nadmin_listen = ["unix:admin.sock"]\n')
    )
    with site.start():
        done = policyd(site.folder, "shadow")
        assert done.returncode == 2
        assert "`[policies.shadow]`" in done.stderr
