"""`policyd blame`: who wrote the lines of a rule, and when."""

from __future__ import annotations

from pathlib import Path

import click
import msgspec

from policyd.cli.examples import examples
from policyd.cli.output import TEXT_OR_JSON, format_option
from policyd.cli.past import CONFIG, POLICIES, past
from policyd.diagnostics.terminal import printable
from policyd.tooling.provenance import Origin, Place, origins, places
from policyd.tooling.revisions import committed


@click.command(
    epilog=examples(
        "policyd blame sealed",
        "policyd blame sealed --revision 3f2a90c1d5e7",
        "policyd blame sealed --api health --policies policies",
    )
)
@click.argument("rule", metavar="RULE")
@click.option(
    "--revision", default="HEAD", show_default=True, metavar="REV", help="The commit to look at."
)
@click.option(
    "--api", metavar="NAME", help="The API of the rule, if several have a rule of this name."
)
@POLICIES
@CONFIG
@format_option(type=TEXT_OR_JSON)
def command(
    rule: str,
    revision: str,
    api: str | None,
    folder: Path | None,
    config: Path | None,
    output: str,
) -> None:
    """Show who wrote each line of a rule, and when: commit, author and date.

    RULE is a rule's name, as decisions have it. The repository is the one around the policies.
    """
    there, _ = past(folder, config)
    sources, _ = committed(revision, there)
    found = [(one, origins(one, there, revision)) for one in places(sources, api, rule)]
    if output == "json":
        document = [{**msgspec.to_builtins(one), "lines": lines} for one, lines in found]
        click.echo(msgspec.json.encode(document))
        return
    click.echo("\n\n".join(_shown(one, lines) for one, lines in found))


def _shown(place: Place, lines: list[Origin]) -> str:
    width = max(len(one.author) for one in lines)
    shown = [
        f"{one.commit[:12]}  {one.date}  {printable(one.author):{width}}  {one.text}"
        for one in lines
    ]
    return "\n".join((f"{place.api}: {printable(place.file)}:{place.line}", *shown))
