"""`policyd replay`: decides the requests of a decision log again, by other policies."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.input import PATH
from policyd.cli.nearest import policies_folder
from policyd.cli.output import JOBS, format_option, note
from policyd.cli.progress import progress
from policyd.language.literals import read_time
from policyd.replay.counting import Wanted
from policyd.replay.files import replay_files
from policyd.replay.html import replay_html
from policyd.replay.report import Report, replay_json, replay_text
from policyd.replay.tally import Tally
from policyd.tooling.revisions import read_revision

#: The exit code if nothing could be compared: the log, or the options, are wrong.
_NOTHING = 2


@click.command(
    epilog=examples(
        "policyd replay decisions.ndjson --policies new-policies",
        "policyd replay decisions.ndjson* --policies policies --baseline HEAD",
        "policyd replay decisions.ndjson --policies new --since 2026-11-30T00:00:00Z",
        "policyd replay decisions.ndjson --policies new --format html > replay.html",
    )
)
@click.argument("logs", nargs=-1, required=True, type=PATH, metavar="LOG…")
@click.option(
    "--policies",
    "new",
    required=True,
    metavar="NEW",
    help="The policies that decide: a folder, or a commit of the repository around it.",
)
@click.option(
    "--baseline",
    "old",
    metavar="OLD",
    help="Compare with the decisions of these policies, instead of the recorded ones.",
)
@click.option(
    "--since", metavar="TIME", help="Only decisions from then on, as in 2026-11-22T10:00:00Z."
)
@click.option("--api", metavar="NAME", help="Only decisions about this API.")
@JOBS
@click.option(
    "--fail-on",
    type=click.Choice(["any", "doubt"]),
    help="Exit with 1 if any decision differs; with `doubt`, also if nobody can tell for one, or a "
    "line is unusable. Exit with 2 if nothing could be compared.",
)
@format_option(type=click.Choice(["text", "json", "html"]))
def command(
    logs: tuple[Path, ...],
    new: str,
    old: str | None,
    since: str | None,
    api: str | None,
    jobs: int,
    fail_on: str | None,
    output: str,
) -> None:
    """Decide the requests of a decision log again, and show which decisions differ.

    LOG is a file of the decision log, plain, compressed with gzip or zstd, or in Parquet; - is
    standard input. Each record holds the facts that the rules could read. So the policies NEW
    decide the same question, with the recorded token, attributes and time.

    A decision is the same, or it differs, or nobody can tell, because it depends on a fact that the
    record lacks: the fact was masked, or not declared then. Differences are grouped by action and
    rules, each group with an example, which `policyd eval --decision` explains.
    """
    folder = policies_folder()
    after = read_revision(new, folder)
    before = None if old is None else read_revision(old, folder)

    def shown(coming: Iterable[Tally], total: int) -> Iterable[Tally]:
        return progress(coming, total, "Deciding")

    tally = replay_files(
        logs,
        after.policies,
        None if before is None else before.policies,
        Wanted(_time(since), api),
        jobs,
        shown,
    )
    report = Report(after.name, None if before is None else before.name, tally)
    match output:
        case "json":
            click.echo(replay_json(report).decode(), nl=False)
        case "html":
            click.echo(replay_html(report), nl=False)
        case _:
            click.echo(replay_text(report), nl=False)
    if fail_on is not None and _fails(tally, doubt=fail_on == "doubt"):
        raise click.exceptions.Exit(1)
    nothing = _nothing(tally)
    if nothing is not None and (fail_on is not None or not tally.decided):
        note(f"Error: {nothing}")
        raise click.exceptions.Exit(_NOTHING)


def _time(since: str | None) -> float | None:
    if since is None:
        return None
    try:
        return read_time(since)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--since") from None


def _nothing(tally: Tally) -> str | None:
    """Return why nothing could be compared, which is a failure; `None` if something was."""
    if not tally.decided:
        if tally.left_out:
            return "nothing was compared: --since and --api leave out every decision of the log"
        if tally.faults.counts:
            return "nothing was compared: the log has no readable decision"
        return "nothing was compared: the log holds no decision"
    if tally.doubtful == tally.decided:
        return (
            "nothing is known: for no decision can anybody tell whether it differs; --baseline "
            "with the policies that decided often helps"
        )
    return None


def _fails(tally: Tally, *, doubt: bool) -> bool:
    return bool(tally.differs or (doubt and (tally.doubtful or tally.faults.counts)))
