"""What all verbs share for input: files, standard input, and the clock of `--at`."""

from __future__ import annotations

import sys
import time
from pathlib import Path

import click

from policyd.language.literals import read_time

#: A path of a file or directory; each verb checks by itself whether it exists.
PATH = click.Path(path_type=Path)
#: Of each verb that reads policies; `policyd.toml` has the same word for the daemon.
FOLLOW_OUTSIDE = click.option(
    "--follow-outside", is_flag=True, help="Follow links that lead out of their directory."
)

#: Bytes read at most. The readers of tokens and claims have lower limits of their own.
_LARGEST_INPUT = 1024 * 1024


def read_input(path: Path) -> bytes:
    """Return the bytes of a file, or of standard input for `-`. Raises `click.UsageError`."""
    try:
        if path == Path("-"):
            return sys.stdin.buffer.read(_LARGEST_INPUT)
        with path.open("rb") as file:
            return file.read(_LARGEST_INPUT)
    except OSError as error:
        raise click.UsageError(f"{path}: {error.strerror}") from None


def read_clock(moment: str | None) -> float:
    """Return a time of the option `--at`, or now. Raises `click.BadParameter`."""
    if moment is None:
        return time.time()
    try:
        return read_time(moment)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--at") from None
