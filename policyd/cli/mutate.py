"""`policyd mutate`: whether the tests notice changes of the policies."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH
from policyd.cli.nearest import policy_paths
from policyd.cli.output import counted, findings, format_option, note, plural, warn
from policyd.cli.progress import progress
from policyd.diagnostics import has_errors
from policyd.tooling.files import Wanted
from policyd.tooling.mutation import finding, try_tests
from policyd.tooling.policies import load_policies
from policyd.tooling.reports import failures
from policyd.tooling.runner import run_tests


@click.command(
    epilog=examples("policyd mutate policies", "policyd mutate policies --format github")
)
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH…]")
@FOLLOW_OUTSIDE
@format_option(type=click.Choice(["text", "concise", "json", "github"]))
def command(paths: tuple[Path, ...], follow_outside: bool, output: str) -> None:
    """Change the policies in small ways, and report changes that no test notices.

    PATH is a policy or test file, or a directory with all such files below it. The default is the
    directory of the nearest policyd.toml. policyd tries one change at a time: it drops a rule or
    extends it to every action, removes or negates an `unless` or an operand, or moves a bound. If
    all tests still hold, no test would catch such a mistake.

    Exits with 1 if a change goes unnoticed, or if the tests fail without any change.
    """
    paths, follow_outside = policy_paths(paths, follow_outside=follow_outside)
    loaded = load_policies(paths, Wanted.ALL, follow_outside=follow_outside)
    if loaded.policies is None or has_errors(loaded.diagnostics):
        click.echo(findings(loaded.diagnostics, output), nl=False)
        note(f"{loaded.summary}: {counted(loaded.diagnostics)}; nothing was tried")
        raise click.exceptions.Exit(1)
    warn(loaded.diagnostics)
    if not loaded.tests:
        raise click.UsageError("there are no tests here; tests are in files named `*_test.policy`")
    run = run_tests(loaded.policies, loaded.tests)
    if run.failed:
        click.echo(findings(failures(run), output), nl=False)
        note(f"{plural(len(run.failed), 'expectation')} failed; nothing was tried")
        raise click.exceptions.Exit(1)
    trial = try_tests(loaded.policies, loaded.tests, partial(progress, what="changes"))
    click.echo(findings([finding(one) for one in trial.survivors], output), nl=False)
    note(f"{plural(trial.tried, 'change')}: {len(trial.survivors)} unnoticed")
    if trial.survivors:
        raise click.exceptions.Exit(1)
