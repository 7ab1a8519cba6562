"""The configuration that a verb takes where no PATH is named: the nearest `policyd.toml`.

Nearest is the one of the working directory, or else of the first folder above that has one. What
is found has a name relative to the working directory, as findings show it.
"""

from __future__ import annotations

import os
from pathlib import Path

import click

from policyd.cli.output import note
from policyd.errors import PolicydError

#: The name of a configuration.
NAME = "policyd.toml"


def nearest() -> Path | None:
    """Return the nearest configuration; `None` where there is none."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        file = folder / NAME
        if file.is_file():
            return from_here(file)
    return None


def from_here(path: Path) -> Path:
    """Return a path relative to the working directory; what is not near stays absolute."""
    relative = os.path.relpath(path)
    return path if relative.count("..") > 2 else Path(relative)


def policy_paths(paths: tuple[Path, ...], config: Path | None = None) -> tuple[Path, ...]:
    """Return the paths as given; without any, the policies of `config` or of the nearest one.

    Raises `click.UsageError` where there is neither, `PolicydError` where the configuration does
    not say where its policies are.
    """
    if paths:
        return paths
    file = config or nearest()
    if file is None:
        raise click.UsageError(f"name a PATH: there is no {NAME} here or above that tells it")
    found = (from_here(_policies(file)),)
    note(f"the policies of {file}: {found[0]}")
    return found


def _policies(file: Path) -> Path:
    # Reading a configuration needs libraries that no other verb waits for.
    from policyd.diagnostics.render import render
    from policyd.server.config.configuration import policies_of
    from policyd.server.config.findings import ConfigurationInvalid

    try:
        return policies_of(file)
    except ConfigurationInvalid as error:
        raise PolicydError(f"{file} cannot be used\n{render(error.diagnostics)}") from None
