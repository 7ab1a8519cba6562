"""`policyd explain`: the catalogue."""

from __future__ import annotations

import sys

import click

from policyd.cli.output import TEXT_OR_JSON, format_option, has_colours
from policyd.diagnostics import catalogue, closest
from policyd.diagnostics.json_text import encode_json


@click.command()
@click.argument("name", metavar="CODE")
@format_option(type=TEXT_OR_JSON)
def command(name: str, output: str) -> None:
    """Show the page of a diagnostic code (P1005) or of a reason (INSUFFICIENT_SCOPE)."""
    name = name.upper()
    page = catalogue.page(name)
    if page is None:
        near = closest(name, catalogue.names())
        meant = f"; did you mean {near}?" if near else ""
        raise click.UsageError(f"there is no page {name}{meant}")
    if output == "json":
        click.echo(encode_json({"name": name, "page": page}))
    elif has_colours():
        _show(page)
    else:
        click.echo(page, nl=False)


def _show(page: str) -> None:
    # Only a terminal needs it, and it is slow to load.
    from rich.console import Console
    from rich.markdown import Markdown

    Console(file=sys.stdout).print(Markdown(page))
