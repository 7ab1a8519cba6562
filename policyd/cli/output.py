"""What all verbs share for output: formats, colours, messages for people."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Sequence
from functools import partial

import click

from policyd.diagnostics import Diagnostic, Severity
from policyd.diagnostics.render import Format, render

#: The option `--format`; each verb adds the formats it has: `@format_option(type=TEXT_OR_JSON)`.
format_option = partial(
    click.option,
    "--format",
    "output",
    default="text",
    show_default=True,
    help="How the result is written.",
)
#: The option `--jobs` of verbs that read files of the decision log.
JOBS = click.option(
    "--jobs",
    type=click.IntRange(1, 256),
    default=os.cpu_count() or 1,
    show_default="the processors there are",
    metavar="N",
    help="Read in N processes.",
)
TEXT_OR_JSON = click.Choice(["text", "json"])

_FORMATS = {
    "text": Format.FULL,
    "concise": Format.CONCISE,
    "json": Format.JSON,
    "github": Format.GITHUB,
    "sarif": Format.SARIF,
    "junit": Format.JUNIT,
}


def has_colours() -> bool:
    """Tell whether standard output is coloured: on a terminal that can, or where it is asked for.

    `NO_COLOR` goes before `FORCE_COLOR` (no-color.org, force-color.org).
    """
    if os.environ.get("NO_COLOR"):
        return False
    dumb = os.environ.get("TERM") == "dumb"
    return bool(os.environ.get("FORCE_COLOR")) or (sys.stdout.isatty() and not dumb)


def columns() -> int:
    """Return how many columns prose may take: those of a terminal, but no more than read well."""
    if not sys.stdout.isatty():
        return 80
    return min(120, shutil.get_terminal_size().columns)


def note(text: str) -> None:
    """Write a message for a person, on standard error."""
    click.echo(text, err=True)


def findings(found: Sequence[Diagnostic], output: str) -> str:
    """Return findings in a format of `--format`: `text`, `concise`, `json`, `github` and so on."""
    width = columns() if sys.stdout.isatty() else None
    return render(found, _FORMATS[output], colour=has_colours(), width=width)


def warn(found: Sequence[Diagnostic]) -> None:
    """Show on standard error what a verb whose result is something else has found on its way."""
    click.echo(findings(found, "text"), err=True, nl=False)


def counted(found: Sequence[Diagnostic]) -> str:
    """Return `1 error, 2 warnings`."""
    errors = sum(one.severity is Severity.ERROR for one in found)
    return f"{plural(errors, 'error')}, {plural(len(found) - errors, 'warning')}"


def plural(number: int, word: str) -> str:
    """Return `1 file` or `2 files`."""
    return f"{number} {word}" if number == 1 else f"{number} {word}s"
