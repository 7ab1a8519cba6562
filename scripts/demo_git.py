"""Policies from Git, in one run: a repository, a signed change, two refusals, a way back.

The repository, the commits and their signatures are made by the real git and ssh-keygen; the daemon
and the commands are the real ones. Exits with 0 if everything happens as told, with 1 if not.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from policyd.client import Answer, AuthorizationFailed, Client, Resource
from policyd.tokens.minting import PrivateKey, generate_key, key_set_text
from scripts.demo import ISSUER, ROOT, tokens

EMAIL = "jane@example.com"
PATIENT = Resource("patient", "p1", {"sealed": False})
#: Seconds that anything may take.
PATIENCE = 30.0
CONFIGURATION = f"""\
[policies.git]
url = "file://{{repository}}"
ref = "main"
path = "policies"
interval = 1
allowed_signers_file = "allowed_signers"

[server]
listen = ["unix:policyd.sock"]
admin_listen = ["unix:admin.sock"]
drain = 0

[decision_log]
path = "decisions.ndjson"

[[issuers]]
issuer = "{ISSUER}"
dialect = "auth0"
jwks_file = "jwks.json"
"""
CLOSED = '\ndeny closed: any on patient\n    because "the ward is closed"\n'


class Unexpected(Exception):
    """Something did not happen as it is told."""


class Stage:
    """A folder with a repository, a working copy, a key, and a daemon beside them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.bare, self.work, self.key = folder / "policies.git", folder / "work", folder / "jane"
        self.issuer: PrivateKey = generate_key()
        self.token = tokens(self.issuer, int(time.time()))["the document's access token"]
        self.git("init", "--quiet", "--bare", "--initial-branch", "main", str(self.bare), at=folder)
        self.git("init", "--quiet", "--initial-branch", "main", str(self.work), at=folder)
        subprocess.run(
            ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(self.key)], check=True
        )
        public = self.key.with_suffix(".pub").read_text().strip()
        (folder / "allowed_signers").write_text(f'{EMAIL} namespaces="git" {public}\n')
        (folder / "jwks.json").write_bytes(key_set_text(self.issuer))
        (folder / "policyd.toml").write_text(CONFIGURATION.format(repository=self.bare))
        self.policy = self.work / "policies" / "health.policy"
        self.policy.parent.mkdir()
        shutil.copy(ROOT / "policies/health/health.policy", self.policy)

    def git(self, *arguments: str, at: Path | None = None) -> str:
        """Run git, and return what it prints."""
        who = {"NAME": "Jane", "EMAIL": EMAIL}
        people = {
            f"GIT_{role}_{what}": text
            for role in ("AUTHOR", "COMMITTER")
            for what, text in who.items()
        }
        done = subprocess.run(
            ["git", "-C", str(at or self.work), *arguments],
            env={"PATH": os.environ["PATH"], "HOME": str(self.folder), **people},
            capture_output=True,
            text=True,
            check=True,
        )
        return done.stdout.strip()

    def commit(self, message: str, *, signed: bool = True) -> str:
        """Commit and push what the working copy has; return the commit."""
        signing = ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.key}") if signed else ()
        self.git("add", "--all")
        self.git(*signing, "commit", "--quiet", *(("-S",) if signed else ()), "-m", message)
        self.git("push", "--quiet", str(self.bare), "HEAD:main")
        commit = self.git("rev-parse", "HEAD")
        how = "signed by Jane" if signed else "not signed"
        print(f"\n$ git push    {commit[:12]} {message} ({how})")
        return commit

    def policyd(self, *arguments: str) -> str:
        """Run a command beside the daemon; print and return what it prints."""
        print(f"\n$ policyd {' '.join(arguments)}")
        command = [str(Path(sys.executable).with_name("policyd")), *arguments]
        done = subprocess.run(command, cwd=self.folder, capture_output=True, text=True, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            print(f"    {line.replace(str(self.folder), '…')}")
        return done.stdout

    def ask(self, client: Client) -> Answer:
        """Ask whether a patient may be read."""
        return client.check(self.token, api="health", action="read", resource=PATIENT)


def wait_for(what: str, so: Callable[[], bool]) -> None:
    """Wait until something is so."""
    until = time.monotonic() + PATIENCE
    while not so():
        if time.monotonic() > until:
            raise Unexpected(f"{what} did not happen within {PATIENCE:g} s")
        time.sleep(0.05)


def show(answer: Answer) -> None:
    """Print an answer, and which commit gave it."""
    verdict = "allowed" if answer.allowed else f"denied by {', '.join(answer.rules)}"
    print(f"    read patient p1: {verdict}, says commit {answer.policy_commit[:12]}")


def play(stage: Stage, client: Client, first: str) -> None:
    """Tell the story."""

    def serves(commit: str) -> None:
        began = time.monotonic()
        wait_for(f"commit {commit}", lambda: stage.ask(client).policy_commit == commit)
        print(f"    served {time.monotonic() - began:.1f} s after the push")
        show(stage.ask(client))

    print("\nA daemon serves what `main` of a repository holds, if Jane signed it.")
    show(stage.ask(client))
    stage.policy.write_text(stage.policy.read_text() + CLOSED)
    closed = stage.commit("Close the ward")
    serves(closed)

    print("\nA change that nobody signed, and one with a mistake, do not serve.")
    for message, text, signed in (
        ("Open it again, unseen", stage.policy.read_text().replace(CLOSED, ""), False),
        ("Open it again, with a slip", stage.policy.read_text() + "\nallow nonsense\n", True),
    ):
        stage.policy.write_text(text)
        bad = stage.commit(message, signed=signed)
        wait_for(
            "a refusal",
            lambda commit=bad: commit in (stage.folder / "state/journal.ndjson").read_text(),  # type: ignore[misc]
        )
        show(stage.ask(client))
        if stage.ask(client).policy_commit != closed:
            raise Unexpected("a bad change serves")
    stage.policyd("status")

    print("\nThe ward must open at once: back to the first commit, without a push.")
    stage.policyd("activate", first)
    show(stage.ask(client))
    if stage.ask(client).policy_commit != first:
        raise Unexpected("the rollback does not serve")
    stage.policyd("status", "--activations", "5")

    print("\nThe next good change takes over, as ever.")
    stage.git("checkout", "--quiet", closed, "--", "policies")
    stage.policy.write_text(stage.policy.read_text().replace(CLOSED, ""))
    serves(stage.commit("Open the ward"))


def main() -> int:
    for program in ("git", "ssh-keygen"):
        if shutil.which(program) is None:
            print(f"this demo needs {program}: apt-get install git openssh-client")
            return 1
    with tempfile.TemporaryDirectory(prefix="policyd-demo-") as name:
        stage = Stage(Path(name))
        first = stage.commit("The policies of health")
        command = [str(Path(sys.executable).with_name("policyd")), "serve"]
        with (stage.folder / "daemon.log").open("wb") as log:
            process = subprocess.Popen(command, cwd=stage.folder, stderr=log)
            try:
                with Client(f"unix:{stage.folder / 'policyd.sock'}") as client:
                    client.wait_until_serving(timeout=PATIENCE)
                    play(stage, client, first)
            except (Unexpected, AuthorizationFailed) as error:
                print(f"{error}; the daemon's log:")
                print((stage.folder / "daemon.log").read_text())
                return 1
            finally:
                process.terminate()
                process.wait()
    print("\nAll as told. docs/git.md says how to set this up.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
