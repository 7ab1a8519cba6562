"""`[revocations]` of the configuration, to `policyd.sources.revocations.RevocationSettings`.

A connection over which others could hold back revocations, or read them, is a finding unless the
configuration says that the network is trusted; so is a password that stands in the file.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import unquote, urlsplit

from policyd.config.addresses import TcpAddress
from policyd.config.findings import Findings
from policyd.config.tables import RevocationsRedis, RevocationsTable
from policyd.sources.revocations import RedisSettings, RevocationSettings
from policyd.tokens.revocation.revocation_list import ClaimNames

_TABLE = "revocations"
_PORT = 6379


def read_revocations(
    table: RevocationsTable | None, base: Path, findings: Findings
) -> RevocationSettings | None:
    """Return where revocations come from, `None` where nobody revokes."""
    if table is None:
        return None
    if table.file is None and table.redis is None:
        findings.add(
            "P5003",
            (_TABLE,),
            "`revocations` names no source",
            "add `file = …`, or a table `[revocations.redis]`",
        )
    return RevocationSettings(
        file=None if table.file is None else base / table.file,
        redis=None if table.redis is None else _redis(table.redis, base, findings),
        max_staleness=table.max_staleness,
        deny_when_stale=table.on_stale == "deny",
        claims=ClaimNames(table.session_claims, table.organisation_claims),
        longest_token_life=table.longest_token_life,
    )


def _redis(table: RevocationsRedis, base: Path, findings: Findings) -> RedisSettings | None:
    settings = _address(table.url, findings)
    if settings is None:
        return None

    def path(name: str | None) -> Path | None:
        return None if name is None else base / name

    if (table.certificate is None) != (table.private_key is None):
        _complain(findings, "certificate", "`certificate` and `private_key` go together")
    near = bool(settings.path) or TcpAddress(settings.host, 0).is_loopback
    if not (settings.tls or near or table.insecure):
        _complain(
            findings,
            "url",
            f"the connection to `{settings}` is not protected: others could read the list, or hold "
            "back what is revoked",
            "use `rediss://`, or set `insecure = true` where the network itself is trusted",
        )
    return RedisSettings(
        host=settings.host,
        port=settings.port,
        path=settings.path,
        database=settings.database,
        username=settings.username,
        tls=settings.tls,
        password_file=path(table.password_file),
        password_env=table.password_env,
        ca_file=path(table.ca_file),
        certificate=path(table.certificate),
        private_key=path(table.private_key),
        key=table.key,
    )


def _address(url: str, findings: Findings) -> RedisSettings | None:
    """Read `redis://`, `rediss://` and `unix:` URLs. A finding never shows what may be secret."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError:
        _complain(findings, "url", "the URL of Redis is not well formed", _FORM)
        return None
    if parts.password is not None:
        _complain(
            findings,
            "url",
            "a password stands in the URL of Redis",
            "use `password_file` or `password_env`",
        )
        return None
    username = None if parts.username is None else unquote(parts.username)
    database = parts.path.strip("/")
    if parts.query or parts.fragment:
        _complain(findings, "url", "the URL of Redis has a query or a fragment", _FORM)
    elif parts.scheme == "unix" and parts.path.startswith("/") and not parts.netloc:
        return RedisSettings(host="", path=Path(unquote(parts.path)))
    elif (
        parts.scheme in ("redis", "rediss")
        and parts.hostname
        and (not database or (database.isascii() and database.isdigit()))
    ):
        return RedisSettings(
            host=parts.hostname,
            port=_PORT if port is None else port,
            database=int(database or 0),
            username=username,
            tls=parts.scheme == "rediss",
        )
    else:
        _complain(findings, "url", "the URL of Redis is not well formed", _FORM)
    return None


_FORM = "write `rediss://USER@HOST:PORT/DATABASE`, `redis://…` on this machine, or `unix:/PATH`"


def _complain(findings: Findings, key: str, headline: str, help_: str | None = None) -> None:
    findings.add("P5012", (_TABLE, "redis", key), headline, help_)
