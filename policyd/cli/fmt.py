"""`policyd fmt`: policies in their one canonical layout."""

from __future__ import annotations

import difflib
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import msgspec

from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH
from policyd.cli.nearest import policy_paths
from policyd.cli.output import TEXT_OR_JSON, findings, format_option, note, plural
from policyd.diagnostics import Diagnostic, Severity, Source, has_errors
from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.language.formatter import format_source
from policyd.language.text import read
from policyd.tooling.files import FoundFiles, Wanted, find_files, replace_text

_STDIN = Path("-")


class _Result(msgspec.Struct, frozen=True):
    """A file, and its canonical text, `None` where the file has errors."""

    path: Path
    source: Source
    text: str | None
    diagnostics: tuple[Diagnostic, ...]

    @property
    def changed(self) -> bool:
        return self.text is not None and self.text != self.source.text


@click.command(
    epilog=examples(
        "policyd fmt policies",
        "policyd fmt --check policies",
        "policyd fmt --diff policies",
        "policyd fmt - < policies/health/health.policy",
    )
)
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH…]")
@click.option("--check", is_flag=True, help="Write nothing; exit with 1 if a file would change.")
@click.option("--diff", is_flag=True, help="Write nothing; show what would change.")
@click.option(
    "--stdin-name",
    default="stdin.policy",
    show_default=True,
    help="File name to show for standard input.",
)
@FOLLOW_OUTSIDE
@format_option(type=TEXT_OR_JSON)
def command(
    paths: tuple[Path, ...],
    check: bool,
    diff: bool,
    stdin_name: str,
    follow_outside: bool,
    output: str,
) -> None:
    """Format policies and tests in place.

    PATH is a policy or test file, or a directory with all such files below it. Without a PATH,
    policyd formats those of the nearest policyd.toml. `-` formats standard input to standard
    output. Files with errors are not changed.

    Exits with 1 if a file has errors or, with --check or --diff, would change.
    """
    if _STDIN in paths and len(paths) > 1:
        raise click.UsageError("`-` stands alone")
    paths, follow_outside = policy_paths(paths, follow_outside=follow_outside)
    there = (
        None if paths == (_STDIN,) else find_files(paths, Wanted.ALL, follow_outside=follow_outside)
    )
    results = list(_results(there, stdin_name))
    said = () if there is None else there.diagnostics
    unreadable = [one for one in said if one.severity is Severity.ERROR]
    found = [*unreadable, *(one for result in results for one in result.diagnostics)]
    broken = bool(unreadable) or any(result.text is None for result in results)
    changed = [result for result in results if result.changed]
    click.echo(findings(found, "text"), err=True, nl=False)
    if diff:
        for result in changed:
            click.echo(_difference(result), nl=False)
    elif not check and paths == (_STDIN,):
        click.echo(results[0].text or "", nl=False)
    elif not check:
        for result in changed:
            replace_text(result.path, result.text or "")
    if paths != (_STDIN,):
        _report(results, changed, check or diff, output)
    if broken or (changed and (check or diff)):
        raise click.exceptions.Exit(1)


def _results(there: FoundFiles | None, stdin_name: str) -> Iterator[_Result]:
    if there is None:
        given = read(stdin_name, sys.stdin.buffer.read())
        yield _format(_STDIN, given.source, given.diagnostics)
        return
    for file in there.files:
        yield _format(file.path, file.source, file.diagnostics)


def _format(path: Path, source: Source, found: tuple[Diagnostic, ...]) -> _Result:
    if has_errors(found):
        return _Result(path, source, None, found)
    formatted = format_source(source)
    return _Result(path, source, formatted.text, formatted.diagnostics)


def _difference(result: _Result) -> str:
    lines = difflib.unified_diff(
        result.source.text.splitlines(keepends=True),
        (result.text or "").splitlines(keepends=True),
        f"{result.source.name} (now)",
        f"{result.source.name} (formatted)",
    )
    return "".join(line if line.endswith("\n") else f"{line}\n" for line in lines)


def _report(
    results: list[_Result], changed: list[_Result], only_checked: bool, output: str
) -> None:
    if output == "json":
        document = {
            "files": len(results),
            "changed": [result.source.name for result in changed],
            "broken": [result.source.name for result in results if result.text is None],
        }
        click.echo(encode_json(document))
        return
    done = "would format" if only_checked else "formatted"
    for result in changed:
        note(f"{done} {printable(result.source.name)}")
    counted = "to format" if only_checked else "formatted"
    note(f"{plural(len(results), 'file')}, {len(changed)} {counted}")
