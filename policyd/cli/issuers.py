"""Issuers for the verbs that verify tokens offline: from a configuration, or from one key set."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from policyd.cli.output import PATH
from policyd.errors import PolicydError
from policyd.tokens.issuers import ALGORITHMS, DIALECTS, IssuerSettings
from policyd.tokens.key_sources import open_issuers, read_keys_now
from policyd.tokens.pipeline import Issuer
from policyd.tokens.validator import Validator

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


class Trust(msgspec.Struct, frozen=True):
    """What the options above say."""

    config: Path | None
    jwks: Path | None
    issuer: str | None
    dialect: str | None
    algorithms: tuple[str, ...]

    @property
    def stated(self) -> bool:
        return self.config is not None or self.jwks is not None

    def open(self, now: float) -> tuple[Issuer, ...]:
        """Return the issuers with their keys fetched once, which counts as done at `now`.

        Raises `click.UsageError`, and `PolicydError` for what is wrong with the settings.
        """
        issuers = open_issuers(self._settings(), lambda: now)
        read_keys_now(issuers)
        return issuers

    def validator(self, now: float) -> Validator:
        """Return a validator over the issuers. Raises as `open` does."""
        return Validator(self.open(now))

    def _settings(self) -> tuple[IssuerSettings, ...]:
        if self.config is not None:
            if self.jwks is not None:
                raise click.UsageError("--config and --jwks exclude each other")
            return configured(self.config)
        if self.jwks is None:
            raise click.UsageError("a token needs --config, or --jwks with --issuer and --dialect")
        if self.issuer is None or self.dialect is None:
            raise click.UsageError("--jwks needs --issuer and --dialect beside it")
        settings = IssuerSettings(
            issuer=self.issuer,
            dialect=self.dialect,
            algorithms=self.algorithms,
            jwks_file=str(self.jwks),
        )
        return (settings,)


def configured(path: Path) -> tuple[IssuerSettings, ...]:
    """Return the issuers of a configuration. Raises `PolicydError` with what is wrong with it."""
    # Reading a configuration needs libraries that no other verb waits for.
    from policyd.diagnostics.render import render
    from policyd.server.config import load_configuration
    from policyd.server.config_findings import ConfigurationInvalid

    try:
        return load_configuration(path).issuers
    except ConfigurationInvalid as error:
        raise PolicydError(f"{path} cannot be used\n{render(error.diagnostics)}") from None
