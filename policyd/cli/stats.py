"""`policyd stats`: statistics of a decision log."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.input import PATH
from policyd.cli.nearest import policies_folder
from policyd.cli.output import JOBS, format_option
from policyd.cli.progress import progress
from policyd.tooling.revisions import read_revision
from policyd.tooling.stats.counting import Figures, Scopes
from policyd.tooling.stats.files import read_figures
from policyd.tooling.stats.html import stats_html
from policyd.tooling.stats.report import Report, stats_json, stats_text


@click.command(
    epilog=examples(
        "policyd stats decisions.ndjson",
        "policyd stats decisions.ndjson* --policies policies",
        "policyd stats decisions.ndjson --format html > decisions.html",
    )
)
@click.argument("logs", nargs=-1, required=True, type=PATH, metavar="LOG…")
@click.option(
    "--policies",
    "name",
    metavar="POLICIES",
    help="The policies that decided: a folder, or a commit of the repository around it. Needed to "
    "find unused rules and scopes.",
)
@JOBS
@format_option(type=click.Choice(["text", "json", "html"]))
def command(logs: tuple[Path, ...], name: str | None, jobs: int, output: str) -> None:
    """Show statistics of a decision log.

    LOG is a file of the decision log, plain, compressed with gzip or zstd, or in Parquet; - is
    standard input. The report shows how often each action was allowed and denied, by which rules
    and for which reasons, who was refused most, and how long decisions took. With --policies, it
    also lists rules that never decided, and scopes that clients have and never needed.
    """
    policies = None if name is None else read_revision(name, policies_folder()).policies

    def shown(coming: Iterable[Figures], total: int) -> Iterable[Figures]:
        return progress(coming, total, "Counting")

    scopes = Scopes() if policies is None else Scopes.of(policies)
    report = Report(read_figures(logs, scopes, jobs, shown), policies)
    match output:
        case "json":
            click.echo(stats_json(report).decode(), nl=False)
        case "html":
            click.echo(stats_html(report), nl=False)
        case _:
            click.echo(stats_text(report), nl=False)
