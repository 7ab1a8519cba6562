"""`policyd show`: the policy text of a past decision."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from policyd.cli.examples import examples
from policyd.cli.output import TEXT_OR_JSON, format_option
from policyd.cli.past import CONFIG, POLICIES, past
from policyd.diagnostics.terminal import printable
from policyd.tooling.provenance import past_sources, places


@click.command(
    epilog=examples(
        "policyd show 3f2a90c1d5e7",
        "policyd show 3f2a90c1d5e7 --rule sealed",
        "policyd show 8d1c5a7e0b42f1a9 --config policyd.toml",
    )
)
@click.argument("revision", metavar="REV")
@click.option("--api", metavar="NAME", help="Show only the rules of this API.")
@click.option("--rule", metavar="NAME", help="Show only the rule of this name.")
@POLICIES
@CONFIG
@format_option(type=TEXT_OR_JSON)
def command(
    revision: str,
    api: str | None,
    rule: str | None,
    folder: Path | None,
    config: Path | None,
    output: str,
) -> None:
    """Show the policies of a past decision.

    REV is the commit or the policy revision in an answer or a record, or the beginning of one.
    Commits are read from the repository around the policies. Revisions are read from the state
    folder of the configuration, where the daemon keeps the last sets that served.
    """
    there, state = past(folder, config)
    sources = past_sources(revision, there, state)
    if api is None and rule is None:
        files = {source.name: source.text for source in sources}
        if output == "json":
            click.echo(msgspec.json.encode(files))
            return
        for name, text in files.items():
            click.echo(f"// {printable(name)}\n{text}")
        return
    found = places(sources, api, rule)
    if output == "json":
        click.echo(msgspec.json.encode(found))
        return
    click.echo("\n\n".join(f"// {printable(one.file)}:{one.line}\n{one.text}" for one in found))
