"""The configuration that a verb takes where no PATH is named: the nearest `policyd.toml`.

Nearest is the one of the working directory, or else of the first folder above that has one. What
is found has a name relative to the working directory, as findings show it.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import click

from policyd.cli.output import note
from policyd.diagnostics import Diagnostic
from policyd.errors import PolicydError
from policyd.sources.policies import DirectorySettings

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


class PolicyPaths(NamedTuple):
    """Where policies are, and whether links may lead out of a directory."""

    paths: tuple[Path, ...]
    follow_outside: bool


def policy_paths(
    paths: tuple[Path, ...],
    config: Path | None = None,
    *,
    follow_outside: bool,
    named: str = "a PATH",
) -> PolicyPaths:
    """Return what is given; without a path, the policies of `config` or of the nearest one.

    `named` is how a user gives paths to this command.

    Raises `click.UsageError` where there is neither, `PolicydError` where the configuration does
    not say where its policies are.
    """
    if paths:
        return PolicyPaths(paths, follow_outside)
    file = config or nearest()
    if file is None:
        raise click.UsageError(f"give {named}: there is no {NAME} here or in a folder above")
    place, settings = _policies(file)
    found = from_here(place)
    note(f"the policies of {file}: {found}")
    return PolicyPaths((found,), follow_outside or settings.follow_outside)


def _policies(file: Path) -> tuple[Path, DirectorySettings]:
    # Reading a configuration needs libraries that no other verb waits for.
    from policyd.config.configuration import policies_of
    from policyd.config.findings import ConfigurationInvalid

    try:
        return policies_of(file)
    except ConfigurationInvalid as error:
        raise unusable(file, error.diagnostics) from None


def unusable(file: Path, found: Sequence[Diagnostic]) -> PolicydError:
    """Return the error that says why a configuration is unusable."""
    from policyd.diagnostics.render import render

    return PolicydError(f"{file} cannot be used\n{render(found)}")


def policies_folder() -> Path:
    """Return the folder of which commits are read: that of the nearest configuration, else
    `policies`.

    Raises `PolicydError` where the configuration does not say where its policies are.
    """
    config = nearest()
    return Path("policies") if config is None else from_here(_policies(config)[0])
