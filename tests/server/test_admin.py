"""Operators ask a daemon what it serves, and change it: over its own listener, by the command."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import grpc
import pytest

from tests.server.test_git import CLOSED, GOOD, GitSite, wait_for_commit, wait_until
from tests.support.certificates import Authority
from tests.support.daemon import PATIENCE, Caller, Site, check_request

ADMIN = "/policyd.v1.AdminService"


@pytest.fixture
def git_site(tmp_path: Path, transport: str) -> GitSite:
    made = GitSite(tmp_path, transport)
    path = tmp_path / "policyd.toml"
    path.write_text(
        path.read_text().replace("[server]\n", '[server]\nadmin_listen = ["unix:admin.sock"]\n')
    )
    return made


def policyd(folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a folder."""
    program = "from policyd.cli.main import main; main()"
    return subprocess.run(
        [sys.executable, "-c", program, *arguments],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )


def test_status_tells_what_serves(git_site: GitSite) -> None:
    commit = git_site.repository.head
    with git_site.start():
        assert (git_site.folder / "admin.sock").stat().st_mode & 0o777 == 0o600
        done = policyd(git_site.folder, "status")
        assert done.stderr == ""
        assert done.returncode == 0
        assert f"commit {commit[:12]} of main" in done.stdout
        assert "amiss     nothing" in done.stdout
        document = json.loads(policyd(git_site.folder, "status", "--format", "json").stdout)
        assert document["serving"] is True
        assert document["policies"]["provenance"]["commit"] == commit
        assert document["issuers"][0]["keys"] == 1
        git_site.commit(GOOD + "\nallow nonsense\n")
        done = policyd(git_site.folder, "status", "--reload", "--activations", "5")
        assert done.returncode == 1
        assert "the newest policies are not in service" in done.stdout
        assert "refused" in done.stdout
        assert "activated" in done.stdout


def test_status_of_several_tells_who_serves_what(tmp_path: Path, transport: str) -> None:
    sites = []
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        sites.append(Site(tmp_path / name, transport))
        with_state(sites[-1])
    targets = [f"--target=unix:{site.folder}/state/admin.sock" for site in sites]
    with sites[0].start(), sites[1].start() as second:
        done = policyd(tmp_path, "status", *targets)
        assert (done.returncode, done.stderr) == (0, "")
        assert "  2 daemons\n" in done.stdout
        sites[1].policy.write_text(sites[1].policy.read_text() + CLOSED)
        second.wait_for_log("policies loaded")
        done = policyd(tmp_path, "status", "--reload", "--format=json", *targets)
        assert done.returncode == 1
        found = json.loads(done.stdout)
        assert [len(served) for served in found["revisions"].values()] == [1, 1]
    done = policyd(tmp_path, "status", "--timeout=5", *targets)
    assert done.returncode == 1
    assert done.stdout.count("no answer ") == 2


def test_activate_goes_back_and_stays_there(git_site: GitSite) -> None:
    first = git_site.repository.head
    bad = git_site.commit(GOOD + CLOSED)
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert not caller.check(check_request()).allowed
        done = policyd(git_site.folder, "activate", first)
        assert done.stderr == ""
        assert done.returncode == 0
        assert done.stdout.startswith(f"commit {first} of main serves, as revision ")
        answer = caller.check(check_request())
        assert (answer.allowed, answer.policy_commit) == (True, first)
        line = daemon.wait_for_log("an operator activates a set")
        assert (line["asked_for"], line["asked_by"]) == (first, "local")
        assert policyd(git_site.folder, "status", "--reload").returncode == 1
        assert caller.check(check_request()).policy_commit == first
        (trouble,) = daemon.troubles()
        assert (
            trouble == f"an operator chose commit {first[:12]} over {bad[:12]}, which `main` names"
        )
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        assert caller.check(check_request()).policy_commit == first
        third = git_site.commit(GOOD + "// third\n")
        wait_for_commit(caller, third)
        wait_until(lambda: daemon.troubles() == [])
        done = policyd(git_site.folder, "activate", first[:12])
        assert done.returncode == 0, "it served lately"
        assert caller.check(check_request()).policy_commit == first


def test_activate_takes_what_a_force_push_left(git_site: GitSite) -> None:
    first = git_site.repository.head
    git_site.commit(GOOD + CLOSED)
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        git_site.repository.git("reset", "--quiet", "--hard", first)
        git_site.repository.push("--force", "HEAD:main")
        daemon.wait_for_log("the policies cannot be read; the old ones keep serving")
        assert policyd(git_site.folder, "activate", first).returncode == 0
        assert caller.check(check_request()).policy_commit == first
        second = git_site.commit(GOOD + "// another\n")
        wait_for_commit(caller, second)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nothing", "no set that served is named `nothing`"),
        ("0" * 40, "the server did not send the object"),
    ],
)
def test_activate_says_why_not(git_site: GitSite, name: str, said: str) -> None:
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        done = policyd(git_site.folder, "activate", name)
        assert done.returncode == 2
        assert said in done.stderr
        assert caller.check(check_request()).allowed


def test_a_refused_commit_is_refused_to_operators_too(git_site: GitSite) -> None:
    bad = git_site.repository.commit(
        {"policies/health.policy": GOOD + "\nallow nonsense\n"}, push=False
    )
    git_site.repository.push(f"{bad}:refs/heads/side")
    with git_site.start():
        done = policyd(git_site.folder, "activate", bad)
        assert done.returncode == 2
        assert f"{bad[:12]}:policies/health.policy" in done.stderr
        journal = (git_site.folder / "state/journal.ndjson").read_text().splitlines()
        assert json.loads(journal[-1])["asked_by"] == "local"


def test_a_folder_goes_back_to_what_served(site: Site) -> None:
    path = site.folder / "policyd.toml"
    text = path.read_text().replace("[policies]", '[policies]\nstate = "state"')
    path.write_text(text.replace("[server]", '[server]\nadmin_listen = ["unix:admin.sock"]'))
    with site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        first = caller.check(check_request()).policy_revision
        site.policy.write_text(site.policy.read_text() + CLOSED)
        daemon.wait_for_log("policies loaded", lambda line: line["revision"] != first)
        assert not caller.check(check_request()).allowed
        assert policyd(site.folder, "activate", first[:8]).returncode == 0
        assert caller.check(check_request()).allowed


def with_state(site: Site) -> None:
    path = site.folder / "policyd.toml"
    path.write_text(path.read_text().replace("[policies]", '[policies]\nstate = "state"'))


def test_a_daemon_with_a_state_folder_has_a_socket_for_operators(site: Site) -> None:
    with_state(site)
    with site.start():
        socket = site.folder / "state/admin.sock"
        assert socket.stat().st_mode & 0o777 == 0o600
        assert socket.parent.stat().st_mode & 0o777 == 0o700
        assert policyd(site.folder, "status").returncode == 0
        with site.start() as another, Caller(another.addresses[0]) as caller:
            line = another.wait_for_log("operators have no socket in the state folder")
            assert "is served by another policyd" in str(line["error"])
            assert caller.check(check_request()).allowed
        assert policyd(site.folder, "status").returncode == 0
    assert not socket.exists()


def test_nobody_else_offers_the_service(git_site: GitSite) -> None:
    with git_site.start() as daemon, Caller(daemon.addresses[0]) as caller:
        failed = caller.failure(f"{ADMIN}/GetStatus", b"")
        assert failed.code is grpc.StatusCode.UNIMPLEMENTED
        done = policyd(git_site.folder, "status", "--target", daemon.addresses[0])
        assert done.returncode == 2
        assert "is no admin listener" in done.stderr
    with Caller(f"unix:{git_site.folder}/admin.sock") as caller:
        assert caller.failure(f"{ADMIN}/GetStatus", b"").code is grpc.StatusCode.UNAVAILABLE
    done = policyd(git_site.folder, "status")
    assert done.returncode == 2
    assert "does a daemon listen on unix:" in done.stderr


def test_bytes_that_are_no_message(git_site: GitSite) -> None:
    with git_site.start(), Caller(f"unix:{git_site.folder}/admin.sock") as caller:
        for method, data in (("GetStatus", b"\xff"), ("Activate", b""), ("Activate", b"\x0a\x05")):
            failed = caller.failure(f"{ADMIN}/{method}", data)
            assert failed.code is grpc.StatusCode.INVALID_ARGUMENT
        failed = caller.failure(f"{ADMIN}/ListActivations", b"\x08\xff\xff\x7f")
        assert "write 0 to 1000" in failed.message


def test_over_the_network_a_certificate_says_who_asks(site: Site) -> None:
    authority, folder = Authority(), site.folder
    server, operator = authority.issue("127.0.0.1"), authority.issue("spiffe://example.com/ops")
    for name, pair in (("server", server), ("operator", operator)):
        (folder / f"{name}.pem").write_bytes(pair.certificate)
        (folder / f"{name}.key").write_bytes(pair.key)
    (folder / "ca.pem").write_bytes(authority.certificate)
    site.listen(
        'address = "127.0.0.1:0"\nservices = ["authorization"]',
        'address = "127.0.0.1:0"\nservices = ["admin"]\ncallers = ["spiffe://example.com/ops"]\n'
        'tls = { certificate = "server.pem", private_key = "server.key", '
        'client_authorities = "ca.pem" }',
    )
    with site.start() as daemon:
        files = ("--authorities", "ca.pem")
        shown = ("--client-certificate", "operator.pem", "--client-key", "operator.key")
        target = ("--target", daemon.addresses[1])
        assert policyd(folder, "status", *target, *files, *shown).returncode == 0
        stranger = ("--client-certificate", "server.pem", "--client-key", "server.key")
        done = policyd(folder, "status", *target, *files, *stranger)
        assert done.returncode == 2
        assert "this certificate may not call" in done.stderr


@pytest.mark.parametrize(
    ("server", "said"),
    [
        ('admin_listen = ["127.0.0.1:0"]', "could change which policies serve"),
        ('admin_listen = ["0.0.0.0:0"]\ninsecure = true', "could change which policies serve"),
    ],
)
def test_plain_tcp_is_refused(site: Site, server: str, said: str) -> None:
    site.configure(server)
    done = site.run()
    assert done.returncode == 2
    assert said in done.stderr
