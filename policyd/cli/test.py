"""`policyd test`: the policies' tests, each through both evaluators."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.output import PATH, counted, findings, format_option, note, plural
from policyd.diagnostics import has_errors
from policyd.tooling.files import Wanted
from policyd.tooling.policies import load_policies
from policyd.tooling.reports import failures, json_report, junit_report
from policyd.tooling.runner import Run, run_tests


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH…")
@click.option("--coverage", is_flag=True, help="Say which rules the tests do not show.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="N",
    help="Fail when less than N percent of the rules' sides are shown.",
)
@format_option(type=click.Choice(["text", "concise", "json", "github", "junit"]))
def command(paths: tuple[Path, ...], coverage: bool, fail_under: float | None, output: str) -> None:
    """Run the policies' tests.

    PATH is a policy or test file, or a directory with all of them below it. Each expectation is
    decided by the compiled policy and by the interpreter, which must agree.

    A rule has two sides: the tests show it where it applies, and where it does not.

    Exits with 1 when an expectation does not hold, or the policies or tests have errors.
    """
    loaded = load_policies(paths, Wanted.ALL)
    if loaded.policies is None or has_errors(loaded.diagnostics):
        click.echo(findings(loaded.diagnostics, "text" if output == "junit" else output), nl=False)
        note(f"{loaded.summary}: {counted(loaded.diagnostics)}; no test was run")
        raise click.exceptions.Exit(1)
    if not loaded.tests:
        raise click.UsageError("there are no tests here: they stand in files `*_test.policy`")
    run = run_tests(loaded.policies, loaded.tests)
    if output == "json":
        click.echo(json_report(run))
    elif output == "junit":
        click.echo(junit_report(run), nl=False)
    else:
        click.echo(findings(failures(run), output), nl=False)
    note(_summary(run, len(loaded.tests)))
    short = fail_under is not None and run.percentage < fail_under
    if coverage or short:
        _say_coverage(run)
    if run.failed or short:
        raise click.exceptions.Exit(1)


def _summary(run: Run, tests: int) -> str:
    expectations = plural(len(run.outcomes), "expectation")
    return f"{plural(tests, 'test')}, {expectations}: {len(run.failed)} failed"


def _say_coverage(run: Run) -> None:
    for rule in run.coverage:
        if not rule.applied:
            note(f"{rule.effect} {rule.rule} of {rule.api}: no test shows it apply")
        if not rule.did_not_apply:
            note(f"{rule.effect} {rule.rule} of {rule.api}: no test shows it not apply")
    note(f"{run.percentage:.1f} % of the rules' sides are shown")
