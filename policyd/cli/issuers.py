"""Issuers for the verbs that verify tokens offline: from a configuration, or from one key set."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from policyd.cli.input import PATH
from policyd.cli.nearest import nearest
from policyd.cli.output import note
from policyd.errors import PolicydError
from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.assembly import open_issuers, read_keys_now
from policyd.tokens.keys.key_file import read_key_file, read_key_pipe
from policyd.tokens.keys.refresher import Renewal
from policyd.tokens.proof.constraints import SenderConstraints
from policyd.tokens.revocation.revocations import NOTHING_REVOKED, Revocations
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tokens.settings.issuers import IssuerSettings
from policyd.tokens.trust import Issuer
from policyd.tokens.validator import DEFAULT_TOKEN_BYTES, Validator

if TYPE_CHECKING:
    from policyd.config.configuration import Configuration

CONFIG = click.option(
    "--config",
    "config",
    type=PATH,
    help="Take the issuers of this policyd.toml. [default: the nearest, without --jwks]",
)
JWKS = click.option("--jwks", type=PATH, help="Verify with this key set; needs --issuer.")
ISSUER = click.option("--issuer", help="The issuer (`iss`) whose keys --jwks holds.")
DIALECT = click.option(
    "--dialect",
    type=click.Choice(tuple(DIALECTS)),
    metavar="[auth0|okta|…]",
    help="The issuer's dialect.",
)
ALGORITHM = click.option(
    "--algorithm",
    "algorithms",
    multiple=True,
    type=click.Choice(ALGORITHMS),
    default=("RS256",),
    show_default=True,
    help="A signature algorithm of the issuer (repeatable).",
)


FETCH = click.option("--fetch", is_flag=True, help="Fetch keys and ask issuers over the network.")


class Believed(msgspec.Struct, frozen=True):
    """The settings that tokens are verified with.

    `without_keys` says why the keys of an issuer are missing, by the issuer's name. `policies` is
    the configured path of policies, and `follow_outside` whether links may lead out of it. `redis`
    tells whether revocations are in Redis as well, which is not read here.
    """

    issuers: tuple[Issuer, ...]
    without_keys: dict[str, str]
    max_token_bytes: int = DEFAULT_TOKEN_BYTES
    constraints: SenderConstraints | None = None
    revocations: Revocations = NOTHING_REVOKED
    redis: bool = False
    policies: Path | None = None
    follow_outside: bool = False


class TrustOptions(msgspec.Struct, frozen=True):
    """The values of the options above."""

    config: Path | None
    jwks: Path | None
    issuer: str | None
    dialect: str | None
    algorithms: tuple[str, ...]
    fetch: bool = False

    @property
    def stated(self) -> bool:
        return self.config is not None or self.jwks is not None

    def or_nearest(self) -> TrustOptions:
        """Return itself, or where nothing is stated the nearest configuration if there is one."""
        if self.stated or self.issuer is not None:
            return self
        found = nearest()
        if found is not None:
            note(f"the issuers of {found}")
        return msgspec.structs.replace(self, config=found)

    def open(self, now: float) -> Believed:
        """Read the files that the options name, keys included, as of the time `now`.

        Keys at a URL are fetched only with `fetch`. `Believed.without_keys` reports missing keys.
        Raises `click.UsageError`, and `PolicydError` if the settings are wrong.
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
        """Open issuers and read their keys; return them, and why keys are missing, by issuer."""
        problems: dict[str, str] = {}
        read = read_key_file if self.jwks is None else read_key_pipe

        def report(renewal: Renewal) -> None:
            if renewal.problem is not None:
                problems[renewal.issuer] = f"its keys could not be loaded: {renewal.problem}"

        issuers: list[Issuer] = []
        for issuer in open_issuers(settings, lambda: now, report, read=read):
            if self.fetch or issuer.settings.jwks_file is not None:
                issuers += read_keys_now([issuer])
            else:
                issuers.append(issuer)
                name = issuer.settings.issuer
                problems[name] = "its keys are at a URL and were not fetched; add --fetch"
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
    from policyd.config.configuration import load_configuration
    from policyd.config.findings import ConfigurationInvalid
    from policyd.diagnostics.render import render

    try:
        return load_configuration(path)
    except ConfigurationInvalid as error:
        raise PolicydError(f"{path} cannot be used\n{render(error.diagnostics)}") from None
