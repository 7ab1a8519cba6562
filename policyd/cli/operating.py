"""Shared by the verbs of operators: how to reach the daemon, and why it does not answer."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

import click

from policyd.cli.nearest import nearest, unusable
from policyd.cli.target import Identity, why_unreachable
from policyd.errors import PolicydError

if TYPE_CHECKING:
    from policyd.config.configuration import Configuration
    from policyd.server.asking import Remote, Unanswered

FILE = click.Path(path_type=Path, exists=True, dir_okay=False)
Result = TypeVar("Result")

TARGET = click.option(
    "--target",
    envvar="POLICYD_ADMIN",
    show_envvar=True,
    metavar="ADDR",
    help="The daemon's admin listener, `unix:path` or `host:port`. [default: that of the nearest "
    "policyd.toml]",
)
TARGETS = click.option(
    "--target",
    "targets",
    envvar="POLICYD_ADMIN",
    show_envvar=True,
    multiple=True,
    metavar="ADDR",
    help="Its admin listener, `unix:path` or `host:port`; once for each of several daemons. "
    "[default: that of the nearest policyd.toml]",
)
AUTHORITIES = click.option(
    "--authorities", type=FILE, help="Certificate authorities (PEM) of the daemon's certificate."
)
CERTIFICATE = click.option(
    "--client-certificate", type=FILE, help="Your own certificate (PEM); needs --client-key."
)
KEY = click.option("--client-key", type=FILE, help="The private key (PEM) of that certificate.")
TIMEOUT = click.option(
    "--timeout", type=float, default=120.0, show_default=True, help="Seconds to wait."
)


class NoAnswer(PolicydError):
    """The daemon did not answer, or refused."""


def ask(
    target: str | None,
    files: tuple[Path | None, Path | None, Path | None],
    timeout: float,
    what: Callable[[Remote], Result],
) -> Result:
    """Ask a daemon. `files` are authorities, certificate and key. Raises `NoAnswer`."""
    # gRPC writes to standard error what is said below. It reads this when it is loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from policyd.server.asking import Credentials, Remote, Unanswered

    if (files[1] is None) != (files[2] is None):
        raise click.UsageError("--client-certificate and --client-key go together")
    address = target or _configured()
    with Remote(address, Credentials(*files), timeout) as remote:
        try:
            return what(remote)
        except Unanswered as error:
            raise NoAnswer(_why(error, address, files)) from None


def _why(
    error: Unanswered, target: str, files: tuple[Path | None, Path | None, Path | None]
) -> str:
    if error.code == "UNIMPLEMENTED":
        return f"{target} is no admin listener: ask one under `admin_listen`"
    if error.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        identity = None if files[0] is None else Identity(files[0], *files[1:])
        advice = why_unreachable(target, identity)
        if advice is not None:
            return f"{target} gives no answer: {advice}"
    return str(error)


def _configuration(file: Path) -> Configuration:
    """Read a configuration as the daemon does, which needs no issuers with `--dev`."""
    from policyd.config.configuration import examine
    from policyd.config.findings import ConfigurationInvalid

    try:
        for development in (False, True):
            configuration, found = examine(file, development=development)
            if configuration is not None:
                return configuration
    except ConfigurationInvalid as error:
        found = error.diagnostics
    raise unusable(file, found)


def _configured() -> str:
    """Return the first admin listener of the nearest configuration."""
    config = nearest()
    if config is not None:
        from policyd.config.listeners import ADMIN

        for listener in _configuration(config).listeners:
            if ADMIN in listener.services:
                return str(listener.address)
    raise click.UsageError(
        "name the daemon with --target: no policyd.toml here or above has an `admin_listen`, or a "
        "state folder"
    )
