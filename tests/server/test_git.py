"""The daemon serves a commit: from the push to the answer, and everything that may go wrong."""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import shutil
import threading
import time
from collections.abc import Callable
from http.client import HTTPConnection
from pathlib import Path

import grpc
import pytest

from tests.support.daemon import (
    ISSUER,
    PATIENCE,
    Caller,
    Daemon,
    Site,
    check_request,
)
from tests.support.documents import ROOT
from tests.support.git import EMAIL, Repository, SshKey, git_daemon, git_over_ssh, ssh_key
from tests.support.transports import ONE_TRANSPORT

GOOD = (ROOT / "policies/health/health.policy").read_text()
CLOSED = '\ndeny closed: any on patient\n    because "closed"\n'
#: How many commits come while callers ask.
ACTIVATIONS = int(os.environ.get("POLICYD_ACTIVATIONS", "6"))
UNREADABLE = "the policies cannot be read; the old ones keep serving"
REJECTED = "the changed policies have errors; the old ones keep serving"


class GitSite(Site):
    """A site whose policies are in a repository."""

    def __init__(self, folder: Path, transport: str) -> None:
        super().__init__(folder, transport)
        shutil.rmtree(self.policies)
        (folder / "git").mkdir()
        self.repository = Repository(folder / "git")
        self.commit(GOOD)
        self.use(self.repository.url)

    def use(self, url: str, git: str = "", policies: str = "") -> None:
        """Write a configuration with a repository, and further keys of it and of `policies`."""
        (self.folder / "policyd.toml").write_text(
            f'[policies]\n{policies}\n[policies.git]\nurl = "{url}"\nref = "main"\n'
            f'path = "policies"\ninterval = 1\n{git}\n'
            f'[server]\nlisten = ["127.0.0.1:0"]\ntransport = "{self.transport}"\ndrain = 0\n'
            '[http]\nlisten = ["127.0.0.1:0"]\n[decision_log]\npath = "decisions.ndjson"\n'
            f'[[issuers]]\nissuer = "{ISSUER}"\ndialect = "auth0"\njwks_file = "jwks.json"\n'
        )

    def commit(self, text: str, *options: str) -> str:
        return self.repository.commit({"policies/health.policy": text}, *options)


@pytest.fixture
def git_site(tmp_path: Path, transport: str) -> GitSite:
    return GitSite(tmp_path, transport)


def wait_until(so: Callable[[], bool]) -> None:
    until = time.monotonic() + PATIENCE
    while not so():
        assert time.monotonic() < until


def wait_for_commit(caller: Caller, commit: str) -> None:
    wait_until(lambda: caller.check(check_request()).policy_commit == commit)


def loaded(daemon: Daemon, commit: str) -> dict[str, object]:
    return dict(daemon.wait_for_log("policies loaded", lambda line: line["commit"] == commit))


def refusal(daemon: Daemon, commit: str) -> dict[str, object]:
    return dict(daemon.wait_for_log(UNREADABLE, lambda line: line["commit"] == commit))


@ONE_TRANSPORT
def test_a_commit_serves_and_is_named_everywhere(git_site: GitSite) -> None:
    first = git_site.repository.head
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        answer = caller.check(check_request())
        assert (answer.allowed, answer.policy_commit) == (True, first)
        second = git_site.commit(GOOD + CLOSED)
        wait_for_commit(caller, second)
        assert not caller.check(check_request()).allowed
        line = loaded(daemon, second)
        assert line["ref"] == "main"
        metrics = daemon.page("/metrics")
        assert f'policyd_policy_info{{commit="{second}",ref="main",revision="' in metrics
        wait_until(lambda: daemon.troubles() == [])
    commits = [record["commit"] for record in git_site.records()]
    assert (commits[0], commits[-1]) == (first, second)
    journal = (git_site.folder / "state/journal.ndjson").read_text().splitlines()
    outcomes = [json.loads(line) for line in journal]
    assert [(one["outcome"], one["provenance"]["commit"]) for one in outcomes] == [
        ("activated", first),
        ("activated", second),
    ]
    assert outcomes[1]["rules"] == {"rules": 7, "added": 1, "removed": 0, "changed": 0}


@ONE_TRANSPORT
def test_a_webhook_lets_it_look_at_once(git_site: GitSite) -> None:
    secret = b"a secret that a forge was told"
    (git_site.folder / "hook").write_bytes(secret.replace(b" ", b"-") + b"\n")
    git_site.use(git_site.repository.url, "", "")
    path = git_site.folder / "policyd.toml"
    text = path.read_text().replace("interval = 1\n", "interval = 3600\n")
    path.write_text(text.replace("[http]\n", '[http]\nwebhook_secret_file = "hook"\n'))
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        commit = git_site.commit(GOOD + CLOSED)
        (address,) = map(str, daemon.wait_for_log("serving")["http"])  # type: ignore[arg-type]
        body = b'{"ref": "refs/heads/main"}'
        for key, status in ((b"x" * 32, 403), (secret.replace(b" ", b"-"), 202)):
            shown = hmac.new(key, body, hashlib.sha256).hexdigest()
            connection = HTTPConnection(address, timeout=PATIENCE)
            fields = {"X-Hub-Signature-256": f"sha256={shown}", "X-GitHub-Event": "push"}
            connection.request("POST", "/webhook/git", body, fields)
            assert connection.getresponse().status == status
            connection.close()
        wait_for_commit(caller, commit)


@ONE_TRANSPORT
def test_a_bad_commit_is_told_of_at_its_line_and_the_old_one_serves(git_site: GitSite) -> None:
    good = git_site.repository.head
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        bad = git_site.commit(GOOD + "\nallow nonsense\n")
        line = daemon.wait_for_log(REJECTED)
        place = f"{bad[:12]}:policies/health.policy:{GOOD.count(chr(10)) + 2}:"
        assert str(line["places"]).startswith(f"['{place}")
        assert (line["commit"], line["step"]) == (bad, "load")
        (trouble,) = daemon.troubles()
        said = f"the newest policies are not in service (commit {bad[:12]}, step load): {place}"
        assert trouble.startswith(said)
        assert caller.check(check_request()).policy_commit == good
        metrics = daemon.page("/metrics")
        assert 'policyd_activation_steps_total{result="failed",step="load"} 1.0' in metrics
        mended = git_site.commit(GOOD + "// mended\n")
        wait_for_commit(caller, mended)
        wait_until(lambda: daemon.troubles() == [])


@ONE_TRANSPORT
def test_only_what_an_allowed_signer_signed_serves(git_site: GitSite) -> None:
    folder = git_site.folder
    jane, joe, old = (ssh_key(folder, name) for name in ("jane", "joe", "old"))
    (folder / "signers").write_text(
        f'{EMAIL} {jane.public}\n{EMAIL} valid-before="20220101Z" {old.public}\n'
    )
    repository = git_site.repository
    git_site.use(repository.url, 'allowed_signers_file = "signers"')
    done = git_site.run()
    assert done.returncode == 2
    assert f"commit {repository.head} is refused: it is not signed" in done.stderr

    def signed(key: SshKey, text: str) -> str:
        repository.write({"policies/health.policy": text})
        repository.git(*key.signing(), "commit", "-q", "-S", "-m", "signed")
        repository.push()
        return repository.head

    good = signed(jane, GOOD + "// signed\n")
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert caller.check(check_request()).policy_commit == good
        assert loaded(daemon, good)["signer"] == EMAIL
        for number, (key, why) in enumerate(
            (
                (None, "it is not signed"),
                (joe, "its key is not among the allowed signers"),
                (old, "its key is not valid any more (`valid-before`)"),
            )
        ):
            text = GOOD + f"// {number}\n"
            commit = git_site.commit(text) if key is None else signed(key, text)
            line = refusal(daemon, commit)
            assert (line["step"], why in str(line["error"])) == ("verify", True)
            (trouble,) = daemon.troubles()
            assert why in trouble
            assert caller.check(check_request()).policy_commit == good
        with (folder / "signers").open("a") as file:
            file.write(f"{EMAIL} {joe.public}\n")
        commit = signed(joe, GOOD + "// 4\n")
        wait_for_commit(caller, commit)


@ONE_TRANSPORT
def test_a_force_push_is_refused(git_site: GitSite) -> None:
    first = git_site.repository.head
    second = git_site.commit(GOOD + "// second\n")
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        git_site.repository.git("reset", "--quiet", "--hard", first)
        git_site.repository.push("--force", "HEAD:main")
        line = daemon.wait_for_log(UNREADABLE)
        assert f"commit {first} does not descend from {second}" in str(line["error"])
        assert caller.check(check_request()).policy_commit == second


@ONE_TRANSPORT
def test_without_its_server_it_starts_with_what_served_last(git_site: GitSite) -> None:
    with git_daemon(git_site.repository) as url:
        git_site.use(url)
        with git_site.start():
            pass
    commit = git_site.repository.head
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        line = daemon.wait_for_log(
            "there are no good policies; those that served last serve, stale"
        )
        assert (line["commit"], line["step"]) == (commit, "fetch")
        assert caller.check(check_request()).policy_commit == commit
        assert any("the newest policies are not in service" in one for one in daemon.troubles())
    git_site.use(url, policies="max_staleness = 0.1")
    daemon = Daemon(git_site.folder, ())
    try:
        line = daemon.wait_for_log("the policies are too old; not serving")
        assert "`max_staleness` (0.1 s)" in str(line["why"])
        daemon.wait_for_log("serving")
        document = json.loads(daemon.page("/readyz"))
        assert document["ready"] is False
        assert "was last heard of" in document["reasons"][0]
        with git_daemon(git_site.repository, int(url.split(":")[2].split("/")[0])):
            wait_until(lambda: bool(json.loads(daemon.page("/readyz"))["troubles"] == []))
    finally:
        daemon.end()


@ONE_TRANSPORT
def test_without_its_server_and_without_state_it_waits_for_it(git_site: GitSite) -> None:
    with git_daemon(git_site.repository) as url:
        pass
    git_site.use(url)
    daemon = Daemon(git_site.folder, ())
    try:
        line = daemon.wait_for_log("there are no policies yet; trying again")
        assert f"{url}: " in str(line["error"])
        with git_daemon(git_site.repository, int(url.split(":")[2].split("/")[0])):
            daemon.wait_for_log("serving")
        with Caller(daemon.addresses[0]) as caller:
            assert caller.check(check_request()).policy_commit == git_site.repository.head
    finally:
        assert daemon.end() == 0


@ONE_TRANSPORT
def test_while_it_waits_for_policies_it_can_be_stopped(git_site: GitSite) -> None:
    git_site.use("git://127.0.0.1:1/none.git")
    daemon = Daemon(git_site.folder, ())
    daemon.wait_for_log("there are no policies yet; trying again")
    assert daemon.end() == 0


@ONE_TRANSPORT
@pytest.mark.parametrize(
    ("name", "key"),
    [("key_file", "ssh_key_file"), ("known_hosts_file", "known_hosts_file")],
)
def test_a_file_of_a_fetch_may_come_late(
    git_site: GitSite, tmp_path: Path, name: str, key: str
) -> None:
    with git_over_ssh(git_site.repository, tmp_path / "ssh") as server:
        late = getattr(server, name)
        late.rename(tmp_path / "late")
        keys = f'ssh_key_file = "{server.key_file}"\n'
        keys += f'known_hosts_file = "{server.known_hosts_file}"'
        git_site.use(server.url, keys)
        daemon = Daemon(git_site.folder, ())
        try:
            line = daemon.wait_for_log("there are no policies yet; trying again")
            assert f"`{key}`: {late} is no file that is there" in str(line["error"])
            (tmp_path / "late").rename(late)
            daemon.wait_for_log("serving")
        finally:
            assert daemon.end() == 0


@ONE_TRANSPORT
def test_the_newest_of_many_commits_serves_and_nothing_is_left(git_site: GitSite) -> None:
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        for number in range(40):
            last = git_site.commit(GOOD + f"// {number}\n")
        wait_for_commit(caller, last)
        wait_until(lambda: not list((git_site.folder / "state").glob("fetch-*")))
        assert len(list((git_site.folder / "state/sets").iterdir())) <= 10


def test_no_call_fails_while_commits_come(git_site: GitSite) -> None:
    """And each answer is of one set: its decision goes with its commit."""
    opened, problems = {git_site.repository.head: True}, []
    enough = threading.Event()

    def ask(target: str) -> None:
        with Caller(target) as caller:
            while not enough.is_set():
                try:
                    answer = caller.check(check_request())
                except grpc.RpcError as error:
                    problems.append(str(error))
                    return
                if opened.get(answer.policy_commit) is not answer.allowed:
                    problems.append(f"{answer.policy_commit}: {answer.allowed}")

    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        threads = [threading.Thread(target=ask, args=(daemon.addresses[0],)) for _ in range(2)]
        for thread in threads:
            thread.start()
        try:
            for number in range(ACTIVATIONS):
                text = GOOD + (CLOSED if number % 2 else f"// {number}\n")
                commit = git_site.repository.commit({"policies/health.policy": text}, push=False)
                opened[commit] = not number % 2
                git_site.repository.push()
                wait_for_commit(caller, commit)
        finally:
            enough.set()
            for thread in threads:
                thread.join(PATIENCE)
    assert problems == []
