"""What a configuration says of tokens, for the verbs that prove something of all of them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from policyd.cli.input import PATH
from policyd.prover.axioms import Premises
from policyd.tooling.minted import USUAL

CONFIG = click.option(
    "--config",
    type=PATH,
    help="Consider only tokens of this policyd.toml's issuers, and show tokens in their dialects.",
)


def premises_of(config: Path | None, apis: Iterable[str]) -> tuple[Premises, tuple[str, ...], str]:
    """Return what is known of tokens, the dialects to mint, and the name of the configuration."""
    if config is None:
        return Premises(), USUAL, "any configuration"
    from policyd.config.judging import judge

    configuration, _ = judge(config)
    if configuration is None:
        raise click.UsageError(f"{config} cannot be used: `policyd check --config {config}`")
    dialects = tuple(sorted({one.dialect for one in configuration.issuers}))
    return Premises.of(configuration.issuers, apis), dialects, str(config)
