"""`policyd test`: the policies' tests, each through both evaluators."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TypeVar

import click
import msgspec

from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH
from policyd.cli.issuing import configured_issuers, issuing
from policyd.cli.nearest import PolicyPaths, nearest, policy_paths
from policyd.cli.output import (
    columns,
    counted,
    findings,
    format_option,
    has_colours,
    note,
    plural,
    warn,
)
from policyd.cli.progress import progress
from policyd.diagnostics import closest, has_errors
from policyd.diagnostics.terminal import printable
from policyd.errors import InternalError, PolicydError
from policyd.language.cases import TestCase
from policyd.tooling.coverage_html import coverage_html
from policyd.tooling.coverage_text import coverage_text
from policyd.tooling.files import Wanted, write_text
from policyd.tooling.issuing import Issuing
from policyd.tooling.parallel import run_tests_in_parallel
from policyd.tooling.policies import load_policies
from policyd.tooling.reports import failures, json_report, junit_report, listing
from policyd.tooling.runner import Run, run_tests
from policyd.tooling.watching import changes

T = TypeVar("T")


class _Wish(msgspec.Struct, frozen=True):
    """What the command line asks for."""

    there: PolicyPaths
    named: str
    verbose: bool
    coverage: bool
    page: Path | None
    fail_under: float | None
    jobs: int
    output: str
    issuing: Issuing


@click.command(
    epilog=examples(
        "policyd test policies",
        "policyd test policies -k sealed -v",
        "policyd test policies --coverage --fail-under 100",
        "policyd test --config policyd.toml --claims keycloak=claims.json",
        "policyd test policies --format junit > report.xml",
    )
)
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH…]")
@click.option(
    "-k",
    "named",
    metavar="NAME",
    default="",
    help="Run only the tests with NAME in their title; upper and lower case are the same.",
)
@click.option(
    "--config",
    type=PATH,
    help="Read `token from DIALECT` with the issuers of this policyd.toml. [default: the nearest, "
    "without a PATH]",
)
@click.option(
    "--claims",
    multiple=True,
    metavar="[DIALECT=]FILE",
    help="A real token's claims (JSON): what `token from DIALECT` leaves out is as there "
    "(repeatable). Without DIALECT, that of the issuer in --config.",
)
@click.option("-v", "--verbose", is_flag=True, help="List each test, and whether it holds.")
@click.option("--coverage", is_flag=True, help="Show what the tests do not cover.")
@click.option("--coverage-html", "page", type=PATH, metavar="FILE", help="Write coverage as HTML.")
@click.option(
    "--fail-under",
    type=click.FloatRange(0, 100),
    metavar="N",
    help="Fail if coverage is below N percent.",
)
@click.option(
    "--jobs",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Run in N processes; worth it for thousands of tests.",
)
@click.option("--watch", is_flag=True, help="Run again whenever a file changes.")
@FOLLOW_OUTSIDE
@format_option(type=click.Choice(["text", "concise", "json", "github", "junit"]))
def command(
    paths: tuple[Path, ...],
    named: str,
    config: Path | None,
    claims: tuple[str, ...],
    verbose: bool,
    coverage: bool,
    page: Path | None,
    fail_under: float | None,
    jobs: int,
    watch: bool,
    follow_outside: bool,
    output: str,
) -> None:
    """Run the policies' tests.

    PATH is a policy or test file, or a directory with all such files below it. The default is the
    directory of the nearest policyd.toml. The compiled policy and the interpreter both decide
    each expectation, and must agree.

    Coverage counts rules and operands. A rule is covered if tests show that it applies and that
    it does not. An operand is covered if tests show it true, false and, where a value may be
    missing, unknown.

    Exits with 1 if an expectation does not hold, or if the policies or tests have errors.
    """
    if verbose and output != "text":
        raise click.UsageError("--verbose is for the text format; the others list what they list")
    known = config or (None if paths else nearest())
    there = policy_paths(paths, known, follow_outside=follow_outside)
    issuers = configured_issuers(known, asked=config is not None)
    wish = _Wish(
        there, named, verbose, coverage, page, fail_under, jobs, output, issuing(issuers, claims)
    )
    if watch:
        _keep_running(wish)
    elif not _run(wish):
        raise click.exceptions.Exit(1)


def _keep_running(wish: _Wish) -> None:
    """Run now and after each change, until the user interrupts."""
    waiting = changes(wish.there.paths)
    next(waiting)
    while True:
        try:
            held = _run(wish)
        except InternalError:
            raise
        except (PolicydError, click.UsageError) as error:  # mended by the next change, perhaps
            note(f"Error: {error}")
            held = False
        note(f"{'ok' if held else 'FAILED'}; waiting for changes")
        names = sorted(next(waiting))
        note(f"\n{Path(names[0]).name}{f' and {len(names) - 1} more' if names[1:] else ''} changed")


def _run(wish: _Wish) -> bool:
    """Run all tests once, and tell whether all is as it should be."""
    there = wish.there
    loaded = load_policies(there.paths, Wanted.ALL, follow_outside=there.follow_outside)
    if loaded.policies is None or has_errors(loaded.diagnostics):
        output = "text" if wish.output == "junit" else wish.output
        click.echo(findings(loaded.diagnostics, output), nl=False)
        note(f"{loaded.summary}: {counted(loaded.diagnostics)}; no test was run")
        return False
    warn(loaded.diagnostics)
    if not loaded.tests:
        raise click.UsageError("there are no tests here; tests are in files named `*_test.policy`")
    chosen = _chosen(loaded.tests, wish.named)
    if wish.jobs > 1 and not wish.named:
        sources = [file.source for file in loaded.files]
        run = run_tests_in_parallel(loaded.policies, chosen, sources, wish.jobs, _bar, wish.issuing)
    else:
        run = run_tests(loaded.policies, _bar(chosen, len(chosen)), wish.issuing)
    if wish.verbose:
        click.echo(listing(run, columns() if sys.stdout.isatty() else None), nl=False)
    _report(run, wish.output)
    note(_summary(run, len(chosen)))
    return _judge_coverage(run, wish) and not run.failed


def _chosen(tests: tuple[TestCase, ...], named: str) -> tuple[TestCase, ...]:
    chosen = tuple(test for test in tests if named.casefold() in test.title.casefold())
    if not chosen:
        near = closest(named, [test.title for test in tests])
        hint = f"did you mean `{near}`?" if near else "`policyd test -v` lists the titles"
        raise click.UsageError(f"no title of a test holds `{printable(named)}`; {hint}")
    return chosen


def _bar(items: Iterable[T], total: int) -> Iterable[T]:
    return progress(items, total, "tests")


def _report(run: Run, output: str) -> None:
    if output == "json":
        click.echo(json_report(run))
    elif output == "junit":
        click.echo(junit_report(run), nl=False)
    else:
        click.echo(findings(failures(run), output), nl=False)


def _summary(run: Run, tests: int) -> str:
    expectations = plural(len(run.results), "expectation")
    return f"{plural(tests, 'test')}, {expectations}: {len(run.failed)} failed"


def _judge_coverage(run: Run, wish: _Wish) -> bool:
    """Show the coverage as asked, and tell whether it is enough."""
    coverage = run.coverage
    if wish.page is not None:
        write_text(wish.page, coverage_html(coverage))
    short = wish.fail_under is not None and coverage.percentage < wish.fail_under
    if wish.output == "text" and (wish.coverage or short):
        click.echo(coverage_text(coverage, colour=has_colours()), nl=False)
    if wish.coverage or short:
        note(f"{coverage.rounded:.1f} % is covered: {coverage.seen} of {coverage.possible}")
    return not short
