"""The files that a configuration names: whether they exist and have the right contents.

Input: a valid configuration. Output: findings at the keys that name the files. The daemon checks
the files at start and at SIGHUP, `policyd check --config` at each run. Other verbs do not: they may
run on machines without the secrets.
"""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final

from policyd.audit.sinks.http import HttpSettings
from policyd.config.decision_log import DecisionLogSettings, FileSettings
from policyd.config.findings import Findings, Key, dotted
from policyd.config.tls_files import TlsFiles, TlsUnusable, read_tls
from policyd.diagnostics import Severity
from policyd.regular_file import open_regular
from policyd.sources.revocations import RedisSettings
from policyd.tokens.details import escaped
from policyd.tokens.https.authorities import AuthoritiesUnusable, read_authorities
from policyd.tokens.introspection.client_authentication import CredentialsUnusable, credentials
from policyd.tokens.keys.key_file import read_key_file
from policyd.tokens.keys.key_set import KeySetUnusable, read_key_set
from policyd.tokens.settings.issuers import IssuerSettings

_REDIS: Key = ("revocations", "redis")
_SPOOL: Final = "set `spool` to a folder that the daemon may write"


def check_tls(files: TlsFiles, key: Key, findings: Findings, now: float) -> None:
    """Check the files of the `tls` at `key`; a certificate out of its time is a warning."""
    try:
        remark = read_tls(files).remark(now)
    except TlsUnusable as error:
        findings.add("P5008", (*key, error.setting), f"`{dotted(key)}`: {error}")
        return
    if remark is not None:
        findings.add(
            "P5008",
            (*key, "certificate"),
            f"the certificate `{files.certificate}` {remark}",
            severity=Severity.WARNING,
        )


def check_issuer(
    number: int,
    settings: IssuerSettings,
    findings: Findings,
    clock: Callable[[], float],
    *,
    keys_may_come: bool = False,
) -> None:
    """Check the files of the issuer at place `number`.

    With `keys_may_come`, keys that cannot be used are a warning: their file is read again.
    """
    key: Key = ("issuers", number)
    name = f"issuer {escaped(settings.issuer)}"
    if settings.jwks_file is not None:
        try:
            text = read_key_file(Path(settings.jwks_file)).body
            read_key_set(text, settings.algorithms, settings.issuer)
        except KeySetUnusable as problem:
            said = f"{name}: `jwks_file` cannot be used: {problem}"
            severity = Severity.WARNING if keys_may_come else Severity.ERROR
            help_ = "correct the path, or leave `jwks_file` out: then the issuer is asked for them"
            findings.add("P5008", (*key, "jwks_file"), said, help_, severity=severity)
    if settings.ca_file is not None:
        _check_authorities((*key, "ca_file"), f"{name}: ", Path(settings.ca_file), findings)
    asked = settings.introspection
    if asked is not None:
        try:
            credentials(asked, settings.issuer, clock)
        except CredentialsUnusable as error:
            place = (*key, "introspection", error.setting)
            findings.add("P5006", place, f"{name}: `introspection` {error}")


def _check_authorities(key: Key, of: str, path: Path, findings: Findings) -> None:
    try:
        authorities = read_authorities(path)
    except AuthoritiesUnusable as error:
        findings.add("P5006", key, f"{of}`ca_file` cannot be used: {error}")
        return
    for one in authorities.refused:
        findings.add(
            "P5006",
            key,
            f"{of}`ca_file`: {one.said}",
            one.way_out,
            severity=Severity.WARNING if authorities.usable else Severity.ERROR,
        )


def check_decision_log(settings: DecisionLogSettings, findings: Findings) -> None:
    """Check that files can be opened for writing, or made, without doing either, and that what
    servers are reached with is there."""
    for sink in settings.sinks:
        if isinstance(sink.to, FileSettings):
            key = sink.key if sink.key[-1] == "path" else (*sink.key, "path")
            _check_log_file(sink.to.path, key, findings)
        elif isinstance(sink.to, HttpSettings):
            _check_http_sink(sink.to, sink.key, findings)
    if settings.spool is not None:
        folder = settings.spool.folder
        while not folder.exists() and folder != folder.parent:
            folder = folder.parent
        if not folder.is_dir() or not os.access(folder, os.W_OK):
            said = f"the spool `{settings.spool.folder}` cannot be written"
            findings.add("P5008", ("decision_log", "spool"), said, _SPOOL)


def _check_log_file(path: Path, key: Key, findings: Findings) -> None:
    if path.is_dir():
        problem = errno.EISDIR
    elif not path.parent.is_dir():
        problem = errno.ENOTDIR if path.parent.exists() else errno.ENOENT
    elif not os.access(path if path.exists() else path.parent, os.W_OK):
        problem = errno.EACCES
    else:
        return
    said = f"the decision log `{path}` cannot be written: {os.strerror(problem)}"
    findings.add("P5008", key, said)


def _check_http_sink(settings: HttpSettings, key: Key, findings: Findings) -> None:
    for name in ("token_file", "ca_file", "certificate", "private_key"):
        path = getattr(settings, name)
        if isinstance(path, Path):
            try:
                open_regular(path).close()
            except OSError as error:
                said = f"`{name}`: `{path}`: {error.strerror}"
                findings.add("P5008", (*key, name), said)
    if settings.ca_file is not None and settings.ca_file.exists():
        _check_authorities((*key, "ca_file"), "", settings.ca_file, findings)


def check_redis(settings: RedisSettings, findings: Findings) -> None:
    """Check the files of `[revocations.redis]`."""
    for name, path in _redis_files(settings):
        try:
            open_regular(path).close()
        except OSError as error:
            said = f"`revocations.redis.{name}`: `{path}`: {error.strerror}"
            findings.add("P5008", (*_REDIS, name), said)
    if settings.certificate is not None and settings.private_key is not None:
        try:
            read_tls(TlsFiles(settings.certificate, settings.private_key))
        except TlsUnusable as error:
            if "holds" in str(error) or "certificate of" in str(error):
                findings.add("P5008", (*_REDIS, error.setting), f"`revocations.redis`: {error}")
    if settings.ca_file is not None and settings.ca_file.exists():
        _check_authorities((*_REDIS, "ca_file"), "", settings.ca_file, findings)


def _redis_files(settings: RedisSettings) -> Iterator[tuple[str, Path]]:
    for name in ("password_file", "ca_file", "certificate", "private_key"):
        path = getattr(settings, name)
        if isinstance(path, Path):
            yield name, path
