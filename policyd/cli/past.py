"""Shared by `show` and `blame`: where the policies and the state folder are."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.input import PATH
from policyd.cli.nearest import from_here, nearest
from policyd.sources.policies.state import StateFolder

POLICIES = click.option(
    "--policies",
    "folder",
    type=PATH,
    metavar="DIR",
    help="The folder with the policies, also in commits. [default: that of the nearest "
    "policyd.toml, else `policies`]",
)
CONFIG = click.option(
    "--config", type=PATH, help="The policyd.toml to use. [default: the nearest, if there is one]"
)


def past(folder: Path | None, config: Path | None) -> tuple[Path, StateFolder | None]:
    """Return the folder of the policies, and the state folder, if one is configured."""
    file = config or nearest()
    if file is None:
        return folder or Path("policies"), None
    from policyd.config.judging import judge  # brings all that verifies tokens

    configuration, _ = judge(file)
    if configuration is None:
        raise click.UsageError(f"{file} cannot be used: `policyd check --config {file}`")
    state = None if configuration.state is None else StateFolder(configuration.state)
    return folder or from_here(configuration.policies), state
