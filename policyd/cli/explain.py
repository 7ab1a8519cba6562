"""`policyd explain`: the catalogue."""

from __future__ import annotations

import sys
from collections.abc import Mapping

import click

from policyd.cli.examples import examples
from policyd.cli.output import TEXT_OR_JSON, format_option, has_colours
from policyd.diagnostics import CODES, catalogue, closest
from policyd.diagnostics.json_text import encode_json


def _complete(_: click.Context, __: click.Parameter, begun: str) -> list[str]:
    return [name for name in catalogue.names() if name.startswith(begun.upper())]


@click.command(
    epilog=examples(
        "policyd explain P1005",
        "policyd explain AUDIENCE_MISMATCH",
        "policyd explain | grep scope",
    )
)
@click.argument("name", metavar="[CODE]", required=False, shell_complete=_complete)
@format_option(type=TEXT_OR_JSON)
def command(name: str | None, output: str) -> None:
    """Show the page of a diagnostic code (P1005) or of a reason (INSUFFICIENT_SCOPE).

    Without CODE, list all codes and reasons.
    """
    if name is None:
        click.echo(_listed(output), nl=False)
        return
    name = name.upper()
    page = catalogue.page(name)
    if page is None:
        near = closest(name, catalogue.names())
        meant = f"did you mean {near}?" if near else "`policyd explain` lists all"
        raise click.UsageError(f"there is no page {name}; {meant}")
    if output == "json":
        click.echo(encode_json({"name": name, "page": page}))
    elif has_colours():
        _show(page)
    else:
        click.echo(page, nl=False)


def _listed(output: str) -> str:
    titles = catalogue.titles()
    if output == "json":
        document = [{"name": name, "title": title} for name, title in titles.items()]
        return encode_json(document, indent=2).decode() + "\n"
    codes = {name: title for name, title in titles.items() if name in CODES}
    reasons = {name: title for name, title in titles.items() if name not in CODES}
    return (
        f"{_table('Codes of findings', codes)}\n{_table('Reasons of decisions', reasons)}\n"
        "`policyd explain NAME` shows a page.\n"
    )


def _table(heading: str, titles: Mapping[str, str]) -> str:
    widest = max(map(len, titles))
    lines = (f"{name:<{widest}}  {title}\n" for name, title in titles.items())
    return f"{heading}\n\n{''.join(lines)}"


def _show(page: str) -> None:
    # Only a terminal needs it, and it is slow to load.
    from rich.console import Console
    from rich.markdown import Markdown

    Console(file=sys.stdout).print(Markdown(page))
