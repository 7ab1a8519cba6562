"""Repositories made by the real git, and servers that carry them: git's own, over TLS and SSH."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import msgspec
import pytest

from tests.support.certificates import Authority
from tests.support.daemon import PATIENCE
from tests.support.gateways import nginx
from tests.support.ports import free_port

EMAIL = "jane@example.com"
BACKEND = Path("/usr/lib/git-core/git-http-backend")


class Repository:
    """A bare repository, and a working copy that pushes into it."""

    def __init__(self, folder: Path) -> None:
        self.bare, self.work = folder / "policies.git", folder / "work"
        self.home = folder / "home"
        self.home.mkdir()
        self._git(folder, "init", "--quiet", "--bare", "--initial-branch", "main", str(self.bare))
        self._git(self.bare, "config", "http.receivepack", "false")
        self._git(self.bare, "config", "uploadpack.allowFilter", "true")
        self._git(folder, "init", "--quiet", "--initial-branch", "main", str(self.work))
        self._git(self.work, "remote", "add", "origin", str(self.bare))

    @property
    def url(self) -> str:
        """The URL of its folder."""
        return f"file://{self.bare}"

    def _git(self, folder: Path, *arguments: str, **environment: str) -> str:
        known = {
            "HOME": str(self.home),
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_AUTHOR_NAME": "Jane",
            "GIT_AUTHOR_EMAIL": EMAIL,
            "GIT_COMMITTER_NAME": "Jane",
            "GIT_COMMITTER_EMAIL": EMAIL,
        }
        done = subprocess.run(
            ["git", "-C", str(folder), *arguments],
            env={"PATH": os.environ["PATH"], **known, **environment},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        return done.stdout.strip()

    def git(self, *arguments: str, **environment: str) -> str:
        """Run git in the working copy, and return what it prints."""
        return self._git(self.work, *arguments, **environment)

    def hold_large_files(self) -> None:
        """Let neither side try to compress what is large and random, which takes minutes."""
        for folder in (self.work, self.bare):
            for name, value in (
                ("core.compression", "0"),
                ("core.bigFileThreshold", "100k"),
                ("pack.window", "0"),
            ):
                self._git(folder, "config", name, value)

    def verifies(self, commit: str, *settings: str) -> bool:
        """Tell what `git verify-commit` says of a commit, with settings `NAME=VALUE`."""
        options = [word for setting in settings for word in ("-c", setting)]
        done = subprocess.run(
            ["git", "-C", str(self.work), *options, "verify-commit", commit],
            env={"PATH": os.environ["PATH"], "HOME": str(self.home)},
            capture_output=True,
            check=False,
        )
        return done.returncode == 0

    def write(self, files: Mapping[str, str]) -> None:
        """Write files of the working copy, and stage all that is there."""
        for name, text in files.items():
            path = self.work / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text)
        self.git("add", "--all")

    def commit(
        self,
        files: Mapping[str, str] | None = None,
        *options: str,
        push: bool = True,
        **environment: str,
    ) -> str:
        """Commit files, push the branch, and return the commit's name."""
        self.write(files or {})
        self.git("commit", "--quiet", "--allow-empty", "-m", "a change", *options, **environment)
        if push:
            self.push()
        return self.head

    @property
    def head(self) -> str:
        """The commit of the working copy."""
        return self.git("rev-parse", "HEAD")

    def push(self, *options: str) -> None:
        """Push what there is."""
        self.git("push", "--quiet", "origin", *(options or ("HEAD:main",)))


class SshKey(msgspec.Struct, frozen=True):
    """A key that ssh-keygen made: the file of its private half, and the line of its public one."""

    path: Path
    public: str

    def signing(self) -> tuple[str, ...]:
        """Return options of git with which it signs."""
        return ("-c", "gpg.format=ssh", "-c", f"user.signingkey={self.path}")


def ssh_key(folder: Path, name: str, *options: str) -> SshKey:
    """Make a key, Ed25519 if no options say otherwise."""
    path = folder / name
    command = ["ssh-keygen", "-q", "-N", "", "-C", name, "-f", str(path)]
    subprocess.run([*command, *(options or ("-t", "ed25519"))], check=True)
    return SshKey(path, " ".join(path.with_suffix(".pub").read_text().split()[:2]))


def _wait_for(port: int, server: subprocess.Popen[bytes]) -> None:
    until = time.monotonic() + PATIENCE
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 0.2).close()
        except OSError:
            assert server.poll() is None, "the server ended"
            assert time.monotonic() < until, "the server does not listen"
        else:
            return


@contextmanager
def running(command: list[str], port: int | None = None, **environment: str) -> Iterator[None]:
    """Run a server, and wait until it listens on the port."""
    server = subprocess.Popen(
        command,
        env={**os.environ, **environment},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    try:
        if port is not None:
            _wait_for(port, server)
        yield
    finally:
        os.killpg(server.pid, 15)
        server.wait(PATIENCE)


@contextmanager
def git_daemon(repository: Repository, port: int | None = None) -> Iterator[str]:
    """Serve a repository by `git daemon`, on a free port or on one; yield its URL."""
    port = port or free_port()
    command = ["git", "daemon", "--export-all", "--reuseaddr", "--listen=127.0.0.1"]
    command += [f"--port={port}", f"--base-path={repository.bare.parent}"]
    with running(command, port):
        yield f"git://127.0.0.1:{port}/{repository.bare.name}"


class HttpsServer(msgspec.Struct, frozen=True):
    """A server with Basic authentication: its URL, and what its callers need."""

    url: str
    ca_file: Path
    username: str
    password_file: Path


_SITE = """
server {{
    listen 127.0.0.1:{port} ssl;
    ssl_certificate {folder}/cert.pem;
    ssl_certificate_key {folder}/key.pem;
    client_max_body_size 10m;
    location /moved/ {{ return 302 https://127.0.0.1:{port}/; }}
    location / {{
        auth_basic "policies";
        auth_basic_user_file {folder}/htpasswd;
        fastcgi_pass unix:{folder}/fcgi.sock;
        include /etc/nginx/fastcgi_params;
        fastcgi_param SCRIPT_FILENAME {backend};
        fastcgi_param GIT_HTTP_EXPORT_ALL "";
        fastcgi_param GIT_PROJECT_ROOT {root};
        fastcgi_param GIT_PROTOCOL $http_git_protocol;
        fastcgi_param PATH_INFO $uri;
        fastcgi_param HOME {folder};
    }}
}}
"""


@contextmanager
def git_over_https(repository: Repository, folder: Path) -> Iterator[HttpsServer]:
    """Serve a repository by git-http-backend behind nginx."""
    fcgiwrap = shutil.which("fcgiwrap", path=f"{os.environ['PATH']}:/usr/sbin")
    if fcgiwrap is None or not BACKEND.exists():
        pytest.skip("fcgiwrap or git-http-backend is missing: apt-get install fcgiwrap git")
    folder.mkdir()
    port, authority = free_port(), Authority()
    pair = authority.issue("127.0.0.1")
    (folder / "cert.pem").write_bytes(pair.certificate)
    (folder / "key.pem").write_bytes(pair.key)
    (folder / "ca.pem").write_bytes(authority.certificate)
    (folder / "htpasswd").write_text("policyd:{PLAIN}a secret of tests\n")
    (folder / "password").write_text("a secret of tests\n")
    (folder / ".gitconfig").write_text("[safe]\n\tdirectory = *\n")
    site = _SITE.format(port=port, folder=folder, backend=BACKEND, root=repository.bare.parent)
    command = nginx(folder, site)
    wrap = [fcgiwrap, "-c", "4", "-s", f"unix:{folder}/fcgi.sock"]
    with running(wrap), running(command, port):
        yield HttpsServer(
            f"https://127.0.0.1:{port}/{repository.bare.name}",
            folder / "ca.pem",
            "policyd",
            folder / "password",
        )


class SshServer(msgspec.Struct, frozen=True):
    """An SSH server whose key may do one thing: its URL, and what its callers need."""

    url: str
    key_file: Path
    known_hosts_file: Path


@contextmanager
def git_over_ssh(repository: Repository, folder: Path) -> Iterator[SshServer]:
    """Serve a repository by sshd, with a forced command."""
    sshd = shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if sshd is None:
        pytest.skip("sshd is not installed: apt-get install openssh-server")
    folder.mkdir(mode=0o700)
    port = free_port()
    host, key = ssh_key(folder, "host"), ssh_key(folder, "client")
    forced = 'command="git-shell -c \\"$SSH_ORIGINAL_COMMAND\\"",restrict'
    (folder / "authorized").write_text(f"{forced} {key.public}\n")
    (folder / "known").write_text(f"[127.0.0.1]:{port} {host.public}\n")
    (folder / "sshd_config").write_text(
        f"Port {port}\nListenAddress 127.0.0.1\nHostKey {host.path}\nPidFile none\n"
        f"AuthorizedKeysFile {folder}/authorized\nStrictModes no\nUsePAM no\n"
        "PasswordAuthentication no\nPermitRootLogin yes\nAcceptEnv GIT_PROTOCOL\n"
    )
    if os.getuid() == 0:  # what sshd insists on, and its package makes when it starts
        Path("/run/sshd").mkdir(exist_ok=True)
    user = subprocess.run(["id", "-un"], capture_output=True, text=True, check=True).stdout.strip()
    with running([sshd, "-D", "-e", "-f", str(folder / "sshd_config")], port):
        url = f"ssh://{user}@127.0.0.1:{port}{repository.bare}"
        yield SshServer(url, key.path, folder / "known")
