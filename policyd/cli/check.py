"""`policyd check`: the findings that the daemon would report, from the same function."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH
from policyd.cli.nearest import NAME, from_here, nearest
from policyd.cli.output import counted, findings, format_option, note, plural
from policyd.diagnostics import Diagnostic, has_errors
from policyd.editor.fixes import all_fixes
from policyd.language import check_identity, unknown_issuers
from policyd.tokens.settings.issuers import IssuerSettings, shared_apis
from policyd.tooling.files import FilesUnusable, Wanted, replace_text
from policyd.tooling.policies import LoadedFiles, load_policies

if TYPE_CHECKING:
    from policyd.config.configuration import Configuration

#: A repair may reveal further findings; no chain of repairs is longer.
_ROUNDS = 5


@click.command(
    epilog=examples(
        "policyd check policies",
        "policyd check --fix policies/health",
        "policyd check --config policyd.toml",
        "policyd check policies --openapi openapi.json",
        "policyd check --format github",
    )
)
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH…]")
@click.option("--fix", is_flag=True, help="Make the repairs that are certain, then check again.")
@click.option(
    "--config",
    type=PATH,
    help="Check as a daemon with this policyd.toml would: the file itself, the files that it "
    "names, and the policies with its issuers and its `follow_outside`.",
)
@click.option(
    "--openapi",
    type=PATH,
    metavar="FILE",
    help="Report where the policies and this OpenAPI 3 document differ: routes, operations, "
    "scopes.",
)
@click.option(
    "--write-counterexamples",
    "examples_to",
    type=PATH,
    metavar="DIR",
    help="Write a test for each broken promise, which shows a request that is allowed.",
)
@FOLLOW_OUTSIDE
@format_option(type=click.Choice(["text", "concise", "json", "github", "sarif", "junit"]))
def command(
    paths: tuple[Path, ...],
    fix: bool,
    config: Path | None,
    openapi: Path | None,
    examples_to: Path | None,
    follow_outside: bool,
    output: str,
) -> None:
    """Check policies as the daemon does when it loads them.

    PATH is a policy file, or a directory with all policy files below it. All files together are
    one policy set. Tests (*_test.policy) are not read: `policyd test` runs them.

    --config also checks the configuration and the files that it names, and checks the policies with
    its issuers: if an API accepts tokens of several issuers, each rule that reads an identity, or a
    claim without `of`, must test the issuer. Without a PATH, the policies are those of the
    configuration. Without either, the configuration is the nearest policyd.toml, here or in a
    folder above.

    Exits with 1 if there is an error in the policies, and with 2 if there is one in the
    configuration.
    """
    if config is None and not paths:
        config = nearest()
        if config is None:
            raise click.UsageError(f"give a PATH: there is no {NAME} here or in a folder above")
        note(f"as a daemon with {config} would:")
    if config is None:
        loaded = _load(paths, fix, follow_outside=follow_outside)
        found = (*_beside(openapi, loaded), *_promises(loaded, (), examples_to))
        _finish(loaded, (*loaded.diagnostics, *found), output)
    else:
        _check_as_daemon(
            config, paths, fix, openapi, examples_to, output, follow_outside=follow_outside
        )


def _check_as_daemon(
    config: Path,
    paths: tuple[Path, ...],
    fix: bool,
    openapi: Path | None,
    examples_to: Path | None,
    output: str,
    *,
    follow_outside: bool,
) -> None:
    """Check a configuration, and the policies as a daemon with it would."""
    # Loaded only here: it brings everything that verifies tokens.
    from policyd.config.judging import judge, policy_findings

    configuration, found = judge(config)
    if configuration is None:
        click.echo(findings(found, output), nl=False)
        raise _unusable(config, found)
    follow_outside = follow_outside or configuration.directory.follow_outside
    try:
        loaded = _load(
            paths or (from_here(configuration.policies),), fix, follow_outside=follow_outside
        )
    except FilesUnusable as error:
        if paths:
            raise
        raise FilesUnusable(f"{error}\n{config} names it: `path` in `[policies]`") from None
    # Of some of the policies nobody could say what they lack.
    whole = not paths or configuration.policies.resolve() in {path.resolve() for path in paths}
    if loaded.policies is not None and whole:
        found = (*found, *policy_findings(configuration, loaded.policies))
    of_policies = (
        *loaded.diagnostics,
        *_about_issuers(configuration, loaded),
        *_beside(openapi, loaded),
        *_promises(loaded, configuration.issuers, examples_to),
    )
    if has_errors(found):
        click.echo(findings((*found, *of_policies), output), nl=False)
        raise _unusable(config, found)
    _finish(loaded, (*found, *of_policies), output)


def _about_issuers(configuration: Configuration, loaded: LoadedFiles) -> tuple[Diagnostic, ...]:
    """Return where policies that load, and the issuers of a configuration, do not fit."""
    if loaded.policies is None:
        return ()
    shared = shared_apis(configuration.issuers, configuration.authzen.asserted)
    names = [one.issuer for one in configuration.issuers]
    return (*check_identity(loaded.policies, shared), *unknown_issuers(loaded.policies, names))


def _promises(
    loaded: LoadedFiles, issuers: Sequence[IssuerSettings], examples_to: Path | None
) -> Sequence[Diagnostic]:
    """Return what is found about the promises of policies that load; write the counterexamples."""
    policies = loaded.policies
    if policies is None or not any(api.proofs for api in policies.apis.values()):
        return ()
    # Loaded only here: most policy sets promise nothing.
    from policyd.pdp.proving import HelperProver
    from policyd.prover.axioms import Premises

    premises = Premises.of(issuers, policies.apis)
    sources = [file.source for file in loaded.files]
    with HelperProver() as prover:
        found = prover.findings(sources, policies, premises, urgent=True)
    if examples_to is not None:
        examples_to.mkdir(parents=True, exist_ok=True)
        for number, one in enumerate(found, 1):
            if one.counterexample:
                path = examples_to / f"broken_{number}_test.policy"
                path.write_text(one.counterexample, encoding="utf-8")
                note(f"wrote {path}: it shows how `{one.promise}` is broken")
    return found


def _load(paths: tuple[Path, ...], fix: bool, *, follow_outside: bool) -> LoadedFiles:
    loaded = load_policies(paths, Wanted.POLICIES, follow_outside=follow_outside)
    for _ in range(_ROUNDS if fix else 0):
        if not _mend(loaded):
            break
        loaded = load_policies(paths, Wanted.POLICIES, follow_outside=follow_outside)
    return loaded


def _beside(openapi: Path | None, loaded: LoadedFiles) -> tuple[Diagnostic, ...]:
    """Return the differences of policies that load to an OpenAPI document."""
    if openapi is None or loaded.policies is None:
        return ()
    from policyd.tooling.starting.compare import compare
    from policyd.tooling.starting.openapi import read_document

    sources = [file.source for file in loaded.files]
    return compare(read_document(openapi), loaded.policies, sources)


def _finish(loaded: LoadedFiles, found: Sequence[Diagnostic], output: str) -> None:
    click.echo(findings(found, output), nl=False)
    note(f"{loaded.summary}: {counted(found)}")
    if has_errors(found):
        raise click.exceptions.Exit(1)


def _unusable(config: Path, found: Sequence[Diagnostic]) -> click.exceptions.Exit:
    """Say which findings are those of the configuration, on standard error."""
    note(f"{config} cannot be used: {counted(found)}")
    note(findings(found, "concise").rstrip())
    return click.exceptions.Exit(2)


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
