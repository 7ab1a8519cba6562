"""`[policies.bundle]` of the configuration: the place of a bundle, and who may sign it.

An unprotected connection is a finding, and so is a password in the URL.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Final

import msgspec

from policyd.config.findings import Findings, Key, dotted
from policyd.config.policy_tables import Bundle
from policyd.sources.policies.bundle.manifest import NAME
from policyd.sources.policies.bundle.settings import BundleSettings
from policyd.sources.policies.signatures.trust import Trust
from policyd.tokens.urls import check_url

_BUNDLE: Final[Key] = ("policies", "bundle")


def read_bundle(table: Bundle | None, base: Path, findings: Findings) -> BundleSettings | None:
    """Return the settings of the source, `None` without one."""
    if table is None:
        return None
    for key, headline, help_ in (*_place(table), *_rest(table)):
        code = "P5003" if "is missing" in headline else "P5004"
        findings.add(code, (*_BUNDLE, key), headline, help_)

    def path(name: str | None) -> Path | None:
        return None if name is None else base / name

    return BundleSettings(
        name=table.name,
        url=table.url or "",
        path=path(table.path),
        interval=table.interval,
        timeout=table.timeout,
        long_poll=table.long_poll,
        username=table.username,
        password_file=path(table.password_file),
        token_file=path(table.token_file),
        ca_file=path(table.ca_file),
        trust=Trust(path(table.allowed_signers_file), path(table.revoked_keys_file)),
        max_bytes=table.max_bytes,
        max_files=table.max_files,
    )


def other_bundle(
    place: str, settings: BundleSettings | None, key: Key, base: Path, findings: Findings
) -> BundleSettings | None:
    """Return the settings of a bundle at another place, a URL or a path, that may be older.

    It has the name, the credentials, the signers and the limits of `settings`.
    """
    if settings is None:
        findings.add(
            "P5004",
            key,
            f"`{dotted(key)}` needs a bundle, and the policies come from none",
            "add `[policies.bundle]`, or write `path = …`, a folder",
        )
        return None
    if "://" not in place:
        return msgspec.structs.replace(settings, url="", path=base / place, allow_rewind=True)
    for _, headline, help_ in _url(place):
        findings.add("P5004", key, headline, help_)
    return msgspec.structs.replace(settings, url=place, path=None, allow_rewind=True)


def _place(table: Bundle) -> Iterator[tuple[str, str, str]]:
    """Yield what is wrong with the place of the bundle. A finding never shows a secret."""
    if table.url is None and table.path is None:
        yield "url", "`policies.bundle.url` is missing", "add `url = …`, or `path = …`"
    elif table.url is not None and table.path is not None:
        yield "path", "the bundle is at a URL and in a file", "remove `url` or `path`"
    elif table.url is not None:
        yield from _url(table.url)


def _url(url: str) -> Iterator[tuple[str, str, str]]:
    if "@" in url:
        what = "a user or a password stands in the URL of the bundle"
        yield "url", what, "use `username` and `password_file`, or `token_file`"
        return
    try:
        parts = check_url(url, loopback_http=True)
    except ValueError as problem:
        form = "write `https://HOST/PATH`; only this machine can be asked by `http:`"
        yield "url", f"the URL of the bundle {problem}", form
        return
    if not parts.path.strip("/"):
        form = "write `https://HOST/PATH`, such as `https://HOST/orders.tar.gz`"
        yield "url", "the URL of the bundle has no path", form


def _rest(table: Bundle) -> Iterator[tuple[str, str, str]]:
    if not re.fullmatch(NAME, table.name):
        form = "write letters, digits, `.`, `_` and `-`, as `policyd bundle build --name` has it"
        yield "name", "`name` is no name of a bundle", form
    if table.token_file is not None and (table.username or table.password_file is not None):
        what = "credentials of two kinds: a bearer token, and a user with a password"
        yield "token_file", what, "remove `token_file`, or `username` and `password_file`"
    elif bool(table.username) != (table.password_file is not None):
        key = "username" if not table.username else "password_file"
        yield key, f"`policies.bundle.{key}` is missing", f"add `{key} = …`"
    if table.revoked_keys_file is not None and table.allowed_signers_file is None:
        what = "`allowed_signers_file` is missing: without it, nobody must sign"
        yield "allowed_signers_file", what, "add `allowed_signers_file = …`"


def check_bundle(settings: BundleSettings, findings: Findings, *, starting: bool) -> None:
    """Check the files of a source, and that its library is there.

    Files of a fetch may be missing while the daemon is `starting`: it fetches again later.
    """
    trust = settings.trust
    of_fetches = (
        ("password_file", settings.password_file),
        ("token_file", settings.token_file),
        ("ca_file", settings.ca_file),
    )
    for name, path in (
        *(() if starting else of_fetches),
        ("allowed_signers_file", trust.allowed_signers_file),
        ("revoked_keys_file", trust.revoked_keys_file),
    ):
        if path is not None and not path.is_file():
            headline = f"`policies.bundle.{name}`: `{path}` is no file that is there"
            findings.add("P5008", (*_BUNDLE, name), headline)
    if trust.required and find_spec("sshsig") is None:
        findings.add(
            "P5008",
            _BUNDLE,
            "signed bundles need sshsig, not installed here",
            "run `pip install 'policyd[bundle]'`",
        )
