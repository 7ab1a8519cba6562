"""The issuers of a configuration, opened for the daemon, and where calls wait for their answers."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Sequence

from policyd.config.findings import ConfigurationInvalid
from policyd.config.tables import Server
from policyd.pdp.waiting import Waiting
from policyd.tokens.assembly import check_credentials, open_issuers
from policyd.tokens.details import escaped
from policyd.tokens.keys.refresher import Renewal, Report
from policyd.tokens.settings.issuers import InvalidIssuerSettings, IssuerSettings
from policyd.tokens.trust import Issuer

_log = logging.getLogger(__name__)


def configured_issuers(
    settings: Sequence[IssuerSettings],
    clock: Callable[[], float],
    report: Report,
    open_already: Iterable[Issuer] = (),
) -> tuple[Issuer, ...]:
    """Open the issuers as `open_issuers` does, with the credentials to ask them.

    Raises `ConfigurationInvalid`.
    """
    try:
        issuers = open_issuers(settings, clock, report, open_already)
        check_credentials(issuers)
        return issuers
    except InvalidIssuerSettings as error:
        raise ConfigurationInvalid.of("P5006", str(error)) from None


def open_waiting(server: Server, issuers: Iterable[Issuer]) -> Waiting:
    """Return where calls wait for the issuers.

    At most half of the calls that there may be at a time can wait, so that others find a place.
    """
    most = min(server.max_waiting, max(1, server.max_calls // 2))
    return Waiting(server.waiting_threads, most, expected=any(map(_is_asked, issuers)))


def check_later_issuers(issuers: Iterable[Issuer], waiting: Waiting) -> None:
    """Check that calls can wait for issuers that are added while the daemon serves.

    The transports prepared at start for what was to be expected. Raises `ConfigurationInvalid`.
    """
    for issuer in issuers:
        if _is_asked(issuer) and not waiting.expected:
            raise ConfigurationInvalid.of(
                "P5006",
                f"issuer {escaped(issuer.settings.issuer)}: introspection and userinfo were off "
                "at start; restart the daemon to enable them",
            )


def _is_asked(issuer: Issuer) -> bool:
    return issuer.introspector is not None or issuer.userinfo is not None


def log_renewal(renewal: Renewal) -> None:
    """Say in the log what came of an attempt to fetch an issuer's keys."""
    extra = {"issuer": renewal.issuer, "keys": renewal.keys}
    if renewal.problem is not None:
        _log.warning("keys could not be fetched", extra={**extra, "problem": renewal.problem})
    elif renewal.changed:
        _log.info("keys fetched", extra=extra)
    for reason in renewal.skipped if renewal.changed else ():
        _log.warning("a key was skipped", extra={**extra, "reason": reason})
