"""`[policies]` of the configuration: which source there is, and what it is told.

A repository over a connection that others could change is a finding, and so is a password in its
URL.
"""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from policyd.config.addresses import TcpAddress
from policyd.config.findings import Findings, Key
from policyd.config.listeners import WEBHOOK, Listener
from policyd.config.policy_tables import Git, Policies
from policyd.config.secrets import SecretUnusable, read_webhook_secrets
from policyd.config.tables import File
from policyd.diagnostics import Severity
from policyd.sources.policies.git.settings import GitSettings
from policyd.sources.policies.signatures.trust import Trust

#: The state folder of a source that is not on this machine.
DEFAULT_STATE = "state"
_GIT: Key = ("policies", "git")
_SCHEMES = ("https", "ssh", "file", "http", "git")
_FORM = "write `https://HOST/PATH`, `ssh://USER@HOST/PATH` or `file:///PATH`"


def check_source(table: Policies, findings: Findings) -> None:
    """Find where a table names no source, or two that are elsewhere."""
    if table.path is None and not is_remote(table):
        findings.add(
            "P5003",
            ("policies", "path"),
            "`policies.path` is missing",
            "add `path = …`, or a table `[policies.git]` or `[policies.bundle]`",
        )
    if table.git is not None and table.bundle is not None:
        findings.add(
            "P5004",
            ("policies", "bundle"),
            "policies cannot come from a repository and from a bundle",
            "remove `[policies.git]` or `[policies.bundle]`",
        )


def is_remote(table: Policies) -> bool:
    """Tell whether the source is a repository or a bundle."""
    return table.git is not None or table.bundle is not None


def folder_of(table: Policies, base: Path) -> Path:
    """Return the folder of the policies.

    Of a repository or a bundle, that is where tools find a working copy, which the daemon does not
    read: the folder of the repository's own `path` beside the configuration, unless `path` names
    another.
    """
    within = None if table.git is None else table.git.path
    return base / (table.path or within or "")


def state_of(table: Policies, base: Path) -> Path | None:
    """Return the state folder; a source that is not on this machine always has one."""
    if table.state is None and not is_remote(table):
        return None
    return base / (table.state or DEFAULT_STATE)


def read_git(table: Git | None, base: Path, findings: Findings) -> GitSettings | None:
    """Return what the source is told, `None` without one."""
    if table is None:
        return None
    _check_url(table, findings)
    _check_path(table.path or "", findings)
    check_ref(table.ref, (*_GIT, "ref"), findings)

    def path(name: str | None) -> Path | None:
        return None if name is None else base / name

    trust = Trust(
        path(table.allowed_signers_file),
        path(table.revoked_keys_file),
        path(table.openpgp_keyring_file),
        table.match_committer,
    )
    return GitSettings(
        url=table.url,
        ref=table.ref,
        path=(table.path or "").strip("/"),
        interval=table.interval,
        timeout=table.timeout,
        username=table.username,
        password_file=path(table.password_file),
        ssh_key_file=path(table.ssh_key_file),
        known_hosts_file=path(table.known_hosts_file),
        ca_file=path(table.ca_file),
        trust=trust,
        allow_rewind=table.allow_rewind,
        max_bytes=table.max_bytes,
        max_files=table.max_files,
        max_fetch_bytes=table.max_fetch_bytes,
    )


def _check_url(table: Git, findings: Findings) -> None:
    """Judge the URL. A finding never shows what may be secret."""
    try:
        parts = urlsplit(table.url)
        host = parts.hostname or ""
        _ = parts.port
    except ValueError:
        _complain(findings, "url", "the URL of the repository is not well formed", _FORM)
        return
    if parts.password is not None or (parts.username is not None and parts.scheme != "ssh"):
        _complain(
            findings,
            "url",
            "a user or a password stands in the URL of the repository",
            "use `username` and `password_file`",
        )
    elif (
        parts.scheme not in _SCHEMES
        or parts.query
        or parts.fragment
        or not parts.path
        or (parts.scheme == "file") == bool(host)
    ):
        _complain(findings, "url", "the URL of the repository is not well formed", _FORM)
    elif parts.scheme in ("http", "git") and not TcpAddress(host, 0).is_loopback:
        _complain(
            findings,
            "url",
            f"`{parts.scheme}:` is not protected: others could serve policies of their own",
            "use `https:` or `ssh:`; without protection only this machine can be asked",
        )
    elif parts.scheme == "ssh" and table.known_hosts_file is None:
        _complain(
            findings,
            "known_hosts_file",
            "`known_hosts_file` is missing: the host's key must be known",
            "add `known_hosts_file = …`; `ssh-keyscan HOST` prints its lines",
        )


def _check_path(path: str, findings: Findings) -> None:
    steps = path.strip("/").split("/") if path.strip("/") else []
    if any(step in ("", ".", "..") for step in steps) or "\0" in path:
        _complain(
            findings,
            "path",
            "`path` is no folder of a repository",
            'write it as "a/b", without `..`',
        )


def check_ref(ref: str, key: Key, findings: Findings) -> None:
    """Find where a text is no name of a branch, a tag or a commit."""
    if not ref or ref.startswith("-") or any(one.isspace() or one in "~^:?*[\\" for one in ref):
        findings.add(
            "P5004",
            key,
            "`ref` is no branch, tag or commit",
            'write a name such as "main" or "refs/tags/v1", or a commit in full',
        )


def check_git(settings: GitSettings, findings: Findings, *, starting: bool) -> None:
    """Check the files of a source, and that its library is there.

    What a fetch takes may come later than a daemon that is `starting`, and is tried again then.
    """
    trust = settings.trust
    of_fetches = (
        ("password_file", settings.password_file),
        ("ssh_key_file", settings.ssh_key_file),
        ("known_hosts_file", settings.known_hosts_file),
        ("ca_file", settings.ca_file),
    )
    for name, path in (
        *(() if starting else of_fetches),
        ("allowed_signers_file", trust.allowed_signers_file),
        ("revoked_keys_file", trust.revoked_keys_file),
        ("openpgp_keyring_file", trust.openpgp_keyring_file),
    ):
        if path is not None and not path.is_file():
            findings.add(
                "P5008", (*_GIT, name), f"`policies.git.{name}`: `{path}` is no file that is there"
            )
    missing = [name for name in ("dulwich", "sshsig", "pysequoia") if find_spec(name) is None]
    if missing:
        findings.add(
            "P5008",
            _GIT,
            f"policies from Git need {', '.join(missing)}, not installed here",
            "run `pip install 'policyd[git]'`",
        )


def _complain(findings: Findings, key: str, headline: str, help_: str) -> None:
    code = "P5003" if "is missing" in headline else "P5004"
    findings.add(code, (*_GIT, key), headline, help_)


def read_webhook(
    file: File, listeners: Iterable[Listener], base: Path, findings: Findings
) -> Path | None:
    """Return the file of the webhook's secrets; find where nobody or nothing would hear of it."""
    key: Key = ("http", "webhook_secret_file")
    path = file.http.webhook_secret_file
    offered = any(WEBHOOK in listener.services for listener in listeners)
    if path is None:
        if offered:
            findings.add(
                "P5003",
                key,
                "`http.webhook_secret_file` is missing: anybody could send word",
                "add `webhook_secret_file = …`, which holds what the forge was told",
            )
        return None
    if not offered:
        findings.add(
            "P5004",
            key,
            "`http.webhook_secret_file`: there is no listener that takes word",
            "add `listen` to `[http]`, or the service `webhook` to a listener",
            severity=Severity.WARNING,
        )
    return base / path


def check_webhook(path: Path, findings: Findings) -> None:
    """Check that the file holds secrets."""
    try:
        read_webhook_secrets(path)
    except SecretUnusable as error:
        findings.add("P5008", ("http", "webhook_secret_file"), f"`webhook_secret_file`: {error}")
