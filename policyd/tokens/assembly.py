"""From settings to issuers at work: each with the keys, and the endpoints, that they point to."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path

import msgspec

from policyd.tokens.https.discovery import discover
from policyd.tokens.https.fetch import Document, https_fetcher, https_sender
from policyd.tokens.introspection.client_authentication import CredentialsUnusable
from policyd.tokens.introspection.introspector import Introspector
from policyd.tokens.keys.key_file import ReadKeyFile, read_key_file
from policyd.tokens.keys.refresher import RefreshedKeys, Renewal, Report
from policyd.tokens.keys.source import FixedKeys, KeySnapshot
from policyd.tokens.settings.issuers import InvalidIssuerSettings, IssuerSettings
from policyd.tokens.trust import Issuer, issuer_of
from policyd.tokens.userinfo import Userinfo


def ignore(renewal: Renewal) -> None:
    """Ignore the result of a renewal."""


def open_issuers(
    settings: Iterable[IssuerSettings],
    clock: Callable[[], float],
    report: Report = ignore,
    open_already: Iterable[Issuer] = (),
    read: ReadKeyFile = read_key_file,
) -> tuple[Issuer, ...]:
    """Make issuers whose keys come from where their settings say. Nothing is fetched yet.

    Of those that are `open_already`, the ones with the very same settings are taken over, keys and
    all. Where settings changed, they count at once, and the keys go on until there are new ones:
    tokens that were good are not refused because a server is away. `clock` tells seconds since the
    epoch, `read` reads a `jwks_file`. Raises `InvalidIssuerSettings`.
    """
    known = {issuer.settings.issuer: issuer for issuer in open_already}
    return tuple(
        before
        if (before := known.get(each.issuer)) is not None and before.settings == each
        else _open(each, clock, report, _inherited(before, each), read)
        for each in settings
    )


def check_credentials(issuers: Iterable[Issuer]) -> None:
    """Check that policyd has the credentials to introspect, of each issuer that wants some.

    Raises `InvalidIssuerSettings` for a secret or a key that cannot be read.
    """
    for issuer in issuers:
        if issuer.introspector is not None:
            try:
                issuer.introspector.check_credentials()
            except CredentialsUnusable as problem:
                raise InvalidIssuerSettings(
                    issuer.settings.issuer, "introspection", str(problem)
                ) from None


def _inherited(before: Issuer | None, settings: IssuerSettings) -> KeySnapshot | None:
    """Return the keys of an issuer whose settings changed, to serve as long as both let them."""
    snapshot = None if before is None else before.keys.snapshot
    if before is None or snapshot is None:
        return None
    sooner = max(0, before.settings.max_stale - settings.max_stale)
    return KeySnapshot(snapshot.key_set, snapshot.usable_until - sooner)


def _open(
    settings: IssuerSettings,
    clock: Callable[[], float],
    report: Report,
    inherited: KeySnapshot | None,
    read: ReadKeyFile,
) -> Issuer:
    keys = RefreshedKeys(settings, _fetch_of(settings, read), clock, report, inherited)
    introspection, userinfo = settings.introspection, settings.userinfo
    if introspection is None and userinfo is None:
        return issuer_of(settings, keys)
    try:
        ask = https_sender(
            ca_file=settings.ca_file, allow_http_loopback=settings.allow_http_loopback
        )
    except OSError as problem:
        raise _bad_ca_file(settings, problem) from None
    return issuer_of(
        settings,
        keys,
        Introspector(settings, introspection, ask, clock) if introspection else None,
        Userinfo(settings, userinfo, ask, clock) if userinfo else None,
    )


def read_keys_now(issuers: Iterable[Issuer]) -> tuple[Issuer, ...]:
    """Fetch the keys of each issuer once, in this thread; return the issuers with just these keys.

    For commands that run and end. Where that fails, tokens of that issuer are refused with
    `KeysUnavailable`.
    """
    return tuple(map(_with_keys_now, issuers))


def _with_keys_now(issuer: Issuer) -> Issuer:
    if not isinstance(issuer.keys, RefreshedKeys):
        return issuer
    issuer.keys.refresh()
    snapshot = issuer.keys.snapshot
    if snapshot is None:
        return issuer
    return msgspec.structs.replace(issuer, keys=FixedKeys(snapshot.key_set))


def _fetch_of(settings: IssuerSettings, read: ReadKeyFile) -> Callable[[], Document]:
    if settings.jwks_file is not None:
        path = Path(settings.jwks_file)
        return lambda: read(path)
    try:
        fetch = https_fetcher(
            ca_file=settings.ca_file, allow_http_loopback=settings.allow_http_loopback
        )
    except OSError as problem:
        raise _bad_ca_file(settings, problem) from None
    jwks_uri = settings.jwks_uri
    if jwks_uri is not None:
        return lambda: fetch(jwks_uri)
    return lambda: fetch(discover(settings, fetch))


def _bad_ca_file(settings: IssuerSettings, problem: OSError) -> InvalidIssuerSettings:
    return InvalidIssuerSettings(
        settings.issuer, "ca_file", f"cannot be used: {problem.strerror or problem}"
    )
