"""Issuers for the verbs that verify tokens offline: from a configuration, or from one key set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from policyd.cli.input import PATH
from policyd.cli.output import note
from policyd.errors import PolicydError
from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.assembly import open_issuers, read_keys_now
from policyd.tokens.keys.refresher import Renewal
from policyd.tokens.pipeline import Issuer
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.revocation.revocations import NOTHING_REVOKED, Revocations
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.validator import DEFAULT_TOKEN_BYTES, Validator

if TYPE_CHECKING:
    from policyd.server.config.configuration import Configuration

CONFIG = click.option(
    "--config", "config", type=PATH, help="Take the issuers of this policyd.toml."
)
JWKS = click.option("--jwks", type=PATH, help="Verify with this key set, and --issuer.")
ISSUER = click.option("--issuer", help="The `iss` of the key set's tokens.")
DIALECT = click.option("--dialect", type=click.Choice(DIALECTS), help="How the issuer writes.")
ALGORITHM = click.option(
    "--algorithm",
    "algorithms",
    multiple=True,
    type=click.Choice(ALGORITHMS),
    default=("RS256",),
    show_default=True,
    help="What the key set's tokens are signed with.",
)


FETCH = click.option(
    "--fetch", is_flag=True, help="Fetch keys that lie at a URL; without it nobody is asked."
)


class Believed(msgspec.Struct, frozen=True):
    """What tokens are judged by. `without_keys` says why an issuer's keys are not there, by name.

    `policies` is where the configuration has its policies, and `follow_outside` whether links may
    lead out of there. `redis` is whether revocations stand in
    Redis too, which is not asked.
    """

    issuers: tuple[Issuer, ...]
    without_keys: dict[str, str]
    max_token_bytes: int = DEFAULT_TOKEN_BYTES
    constraints: SenderConstraints | None = None
    revocations: Revocations = NOTHING_REVOKED
    redis: bool = False
    policies: Path | None = None
    follow_outside: bool = False


class Trust(msgspec.Struct, frozen=True):
    """What the options above say."""

    config: Path | None
    jwks: Path | None
    issuer: str | None
    dialect: str | None
    algorithms: tuple[str, ...]
    fetch: bool = False

    @property
    def stated(self) -> bool:
        return self.config is not None or self.jwks is not None

    def open(self, now: float) -> Believed:
        """Read what the options name, keys included: counts as done at `now`.

        What lies at a URL is fetched with `fetch` alone; what cannot be had is said on standard
        error. Raises `click.UsageError`, and `PolicydError` for what is wrong with the settings.
        """
        if self.config is not None:
            if self.jwks is not None:
                raise click.UsageError("--config and --jwks exclude each other")
            return self._of_configuration(read_configuration(self.config), now)
        issuers, without_keys = self._with_keys((self._settings(),), now)
        return Believed(issuers, without_keys)

    def validator(self, now: float) -> Validator:
        """Return a validator over the issuers. Raises as `open` does."""
        believed = self.open(now)
        for name, why in believed.without_keys.items():
            note(f"{name}: {why}")
        return Validator(believed.issuers)

    def _of_configuration(self, configuration: Configuration, now: float) -> Believed:
        from policyd.sources.revocations import read_file_now

        issuers, without_keys = self._with_keys(configuration.issuers, now)
        settings = configuration.revocations
        return Believed(
            issuers,
            without_keys,
            max_token_bytes=configuration.tokens.max_token_bytes,
            constraints=SenderConstraints(configuration.dpop),
            revocations=read_file_now(settings) or NOTHING_REVOKED,
            redis=settings is not None and settings.redis is not None,
            policies=configuration.policies,
            follow_outside=configuration.directory.follow_outside,
        )

    def _with_keys(
        self, settings: tuple[IssuerSettings, ...], now: float
    ) -> tuple[tuple[Issuer, ...], dict[str, str]]:
        """Open issuers and read their keys; return them, and which have none for what reason."""
        problems: dict[str, str] = {}

        def report(renewal: Renewal) -> None:
            if renewal.problem is not None:
                problems[renewal.issuer] = f"its keys cannot be had: {renewal.problem}"

        issuers: list[Issuer] = []
        for issuer in open_issuers(settings, lambda: now, report):
            if self.fetch or issuer.settings.jwks_file is not None:
                issuers += read_keys_now([issuer])
            else:
                issuers.append(issuer)
                name = issuer.settings.issuer
                problems[name] = "its keys lie at a URL and were not fetched: --fetch does"
        return tuple(issuers), problems

    def _settings(self) -> IssuerSettings:
        if self.jwks is None:
            raise click.UsageError("a token needs --config, or --jwks with --issuer and --dialect")
        if self.issuer is None or self.dialect is None:
            raise click.UsageError("--jwks needs --issuer and --dialect beside it")
        return IssuerSettings(
            issuer=self.issuer,
            dialect=self.dialect,
            algorithms=self.algorithms,
            jwks_file=str(self.jwks),
        )


def read_configuration(path: Path) -> Configuration:
    """Return a configuration. Raises `PolicydError` with what is wrong with it."""
    # Reading a configuration needs libraries that no other verb waits for.
    from policyd.diagnostics.render import render
    from policyd.server.config.configuration import load_configuration
    from policyd.server.config.findings import ConfigurationInvalid

    try:
        return load_configuration(path)
    except ConfigurationInvalid as error:
        raise PolicydError(f"{path} cannot be used\n{render(error.diagnostics)}") from None
