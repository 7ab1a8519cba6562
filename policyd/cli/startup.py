"""What keeps the daemon from starting, as it is told: text for people, or lines of its JSON log.

Where the daemon logs JSON, so are the findings that keep it from starting: one line each, with
code, path, line and column, so that log collectors need not parse text.
"""

from __future__ import annotations

import logging
import os
import tomllib
from collections.abc import Iterable, Sequence
from pathlib import Path

import click

from policyd.diagnostics import Diagnostic, Severity
from policyd.diagnostics.render import render

_log = logging.getLogger("policyd.start")


def report(found: Iterable[Diagnostic], configuration: Path) -> None:
    """Say what is wrong, on standard error."""
    if not _logs_json(configuration):
        click.echo(render(tuple(found)), err=True, nl=False)
        return
    for one in sorted(found, key=lambda finding: finding.sort_key):
        level = logging.ERROR if one.severity is Severity.ERROR else logging.WARNING
        _log.log(level, one.headline, extra=_values(one))


def report_unreadable(error: Exception, configuration: Path, help_: str) -> None:
    """Say that the policies cannot be read, and what helps."""
    said = f"the policies cannot be read: {error}"
    if _logs_json(configuration):
        _log.error(said, extra={"help": help_})
    else:
        click.echo(f"error: {said}\n{help_}", err=True)


def report_refused(error: Exception, places: Sequence[str], configuration: Path) -> None:
    """Say why policies without errors must not serve, and where."""
    if _logs_json(configuration):
        _log.error(str(error), extra={"places": list(places)})
    else:
        click.echo("\n".join((f"error: {error}", *places)), err=True)


def _values(found: Diagnostic) -> dict[str, object]:
    values: dict[str, object] = {"code": found.code}
    if found.primary is not None:
        line, column = found.primary.source.position(found.primary.span.start)
        values |= {"path": found.primary.source.name, "line": line, "column": column}
    if found.help is not None:
        values["help"] = found.help
    return {**values, "findings": render([found])}


def _logs_json(configuration: Path) -> bool:
    """Tell whether the daemon would log JSON, though its configuration may be in error."""
    from policyd.server import log

    format_ = os.environ.get("POLICYD_LOG__FORMAT") or _format_of(configuration)
    json = log.is_json(format_)
    if json:
        log.configure(format_="json")
    return json


def _format_of(configuration: Path) -> str:
    try:
        table = tomllib.loads(configuration.read_text(encoding="utf-8")).get("log")
    except (OSError, ValueError):
        return "auto"
    format_ = table.get("format") if isinstance(table, dict) else None
    return format_ if isinstance(format_, str) else "auto"
