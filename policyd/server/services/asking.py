"""Whether calls may have to wait for issuers, and whether policyd can ask them."""

from __future__ import annotations

from collections.abc import Iterable

from policyd.diagnostics import Diagnostic
from policyd.server.config.findings import ConfigurationInvalid
from policyd.server.config.tables import Server
from policyd.server.waiting import Waiting
from policyd.tokens.details import escaped
from policyd.tokens.introspection.client_authentication import CredentialsUnusable
from policyd.tokens.settings.issuers import InvalidIssuerSettings
from policyd.tokens.trust import Issuer


def check_credentials(issuers: Iterable[Issuer]) -> None:
    """Check that policyd can show who it is where it introspects.

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


def open_waiting(server: Server, issuers: Iterable[Issuer]) -> Waiting:
    """Return where calls wait for the issuers.

    At most half of the calls that there may be at a time can wait, so that others find a place.
    """
    most = min(server.max_waiting, max(1, server.max_calls // 2))
    return Waiting(server.waiting_threads, most, expected=any(map(_is_asked, issuers)))


def check_later_issuers(issuers: Iterable[Issuer], waiting: Waiting) -> None:
    """Check that calls can wait for issuers that come in while the daemon serves.

    The transports were made for what was to be expected then. Raises `ConfigurationInvalid`.
    """
    for issuer in issuers:
        if _is_asked(issuer) and not waiting.expected:
            raise ConfigurationInvalid(
                [
                    Diagnostic(
                        "P5006",
                        f"issuer {escaped(issuer.settings.issuer)}: introspection and userinfo "
                        "were off at start; restart the daemon to enable them",
                        None,
                    )
                ]
            )


def _is_asked(issuer: Issuer) -> bool:
    return issuer.introspector is not None or issuer.userinfo is not None
