"""`policyd version`"""

from __future__ import annotations

import platform

import click

from policyd import API_VERSION, LANGUAGE_VERSION, __version__
from policyd.cli.examples import examples
from policyd.cli.output import TEXT_OR_JSON, format_option
from policyd.diagnostics.json_text import encode_json


@click.command(epilog=examples("policyd version", "policyd version --format json"))
@format_option(type=TEXT_OR_JSON)
def command(output: str) -> None:
    """Show the versions of the program, the language and the API."""
    versions = {
        "policyd": __version__,
        "language": LANGUAGE_VERSION,
        "api": API_VERSION,
        "python": platform.python_version(),
    }
    if output == "json":
        click.echo(encode_json(versions))
        return
    for name, value in versions.items():
        click.echo(f"{name:<9} {value}")
