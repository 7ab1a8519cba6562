"""`policyd diff`: the effect of a change of policies, proven for all tokens and requests."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.input import PATH
from policyd.cli.nearest import policies_folder
from policyd.cli.output import format_option
from policyd.cli.premises import CONFIG, premises_of
from policyd.tooling.difference import Report, compare
from policyd.tooling.difference_html import difference_html
from policyd.tooling.difference_text import (
    difference_json,
    difference_markdown,
    difference_text,
)
from policyd.tooling.revisions import read_revision


@click.command(
    epilog=examples(
        "policyd diff HEAD",
        "policyd diff main HEAD --policies policies",
        "policyd diff old-policies new-policies",
        "policyd diff orders.tar.gz HEAD",
        "policyd diff HEAD --fail-on gains --format markdown",
    )
)
@click.argument("old")
@click.argument("new", required=False)
@click.option(
    "--policies",
    "folder",
    type=PATH,
    metavar="DIR",
    help="The folder with the policies, also in commits. [default: that of the nearest "
    "policyd.toml, else `policies`]",
)
@CONFIG
@click.option(
    "--fail-on",
    type=click.Choice(["gains", "loses", "any"]),
    help="Exit with 1 if an action gains, or loses, or if any answer changes.",
)
@format_option(type=click.Choice(["text", "json", "markdown", "html"]))
def command(
    old: str, new: str | None, folder: Path | None, config: Path | None, fail_on: str | None,
    output: str,
) -> None:  # fmt: skip
    """Show the effect of a change of policies, proven for all tokens.

    OLD and NEW are folders, bundles, or commits of the repository around the policies. Without NEW,
    OLD is compared with the policies as they are now.

    For each action, the report shows what is newly allowed (gains), what is no longer allowed
    (loses), and other changed answers. Each difference has an example token and request, in the
    language of tests. An action that is reported as unchanged is proven to be unchanged, for all
    tokens and requests.
    """
    folder = folder or policies_folder()
    before = read_revision(old, folder)
    after = read_revision(str(folder) if new is None else new, folder)
    premises, dialects, configuration = premises_of(config, [*after.policies.apis])
    report = compare(
        (before.name, before.policies),
        (after.name, after.policies),
        premises,
        dialects,
        configuration,
    )
    match output:
        case "json":
            click.echo(difference_json(report).decode(), nl=False)
        case "markdown":
            click.echo(difference_markdown(report), nl=False)
        case "html":
            click.echo(difference_html(report), nl=False)
        case _:
            click.echo(difference_text(report), nl=False)
    if _fails(report, fail_on):
        raise click.exceptions.Exit(1)


def _fails(report: Report, fail_on: str | None) -> bool:
    """Return whether to fail because of a change; an undecided action counts as changed."""
    match fail_on:
        case "gains":
            return bool(report.number("gains") or report.undecided)
        case "loses":
            return bool(report.number("loses") or report.undecided)
        case "any":
            return bool(report.plans or report.declared)
    return False
