"""`policyd check`: the findings that the daemon would report, from the same function."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.input import PATH
from policyd.cli.output import counted, findings, format_option, note, plural
from policyd.diagnostics import has_errors
from policyd.editor.fixes import all_fixes
from policyd.language import check_identity
from policyd.tokens.settings.issuers import IssuerSettings, shared_apis
from policyd.tooling.files import Wanted, replace_text
from policyd.tooling.policies import LoadedFiles, load_policies

#: A repair may reveal further findings; no chain of repairs is longer.
_ROUNDS = 5


@click.command()
@click.argument("paths", nargs=-1, required=True, type=PATH, metavar="PATH…")
@click.option("--fix", is_flag=True, help="Apply the repairs that are certain, then check again.")
@click.option(
    "--config",
    type=PATH,
    help="Check as a daemon with this policyd.toml would: with its issuers and its rule for links.",
)
@format_option(type=click.Choice(["text", "concise", "json", "github", "sarif", "junit"]))
def command(paths: tuple[Path, ...], fix: bool, config: Path | None, output: str) -> None:
    """Check policies as the daemon does when it loads them.

    PATH is a policy file, or a directory; of a directory, all policy files below it are read. All
    files together are one policy set. Tests (*_test.policy) are for `policyd test`.

    --config names the issuers, and says whether links may lead out of a directory. If an API
    accepts tokens of several issuers, each rule that reads an identity must test the issuer.

    Exits with 1 if there is an error.
    """
    issuers: tuple[IssuerSettings, ...] = ()
    follow_outside = False
    if config is not None:
        # Loaded only here: it brings everything that verifies tokens.
        from policyd.cli.issuers import read_configuration

        configuration = read_configuration(config)
        issuers = configuration.issuers
        follow_outside = configuration.directory.follow_outside
    loaded = load_policies(paths, Wanted.POLICIES, follow_outside=follow_outside)
    for _ in range(_ROUNDS if fix else 0):
        if not _mend(loaded):
            break
        loaded = load_policies(paths, Wanted.POLICIES, follow_outside=follow_outside)
    found = loaded.diagnostics
    if loaded.policies is not None:
        found += check_identity(loaded.policies, shared_apis(issuers))
    click.echo(findings(found, output), nl=False)
    note(f"{loaded.summary}: {counted(found)}")
    if has_errors(found):
        raise click.exceptions.Exit(1)


def _mend(loaded: LoadedFiles) -> bool:
    """Write the certain repairs of each file, and tell whether there were any."""
    mended = False
    for file in loaded.files:
        edits = all_fixes(loaded.diagnostics, file.source.name)
        text = file.source.text
        for edit in reversed(edits):
            text = text[: edit.span.start] + edit.text + text[edit.span.end :]
        if edits:
            replace_text(file.path, text)
            note(f"mended {file.source.name}: {plural(len(edits), 'change')}")
            mended = True
    return mended
