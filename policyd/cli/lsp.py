"""`policyd lsp`: the language server, over standard input and output."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from policyd import __version__
from policyd.cli.examples import examples
from policyd.diagnostics import Diagnostic, Source
from policyd.language.cases import TestCase
from policyd.language.policy import PolicySet
from policyd.language.text import Read
from policyd.tooling.files import Wanted, find_files
from policyd.tooling.lint import lint
from policyd.tooling.reports import failures
from policyd.tooling.runner import run_tests


@click.command(epilog=examples("policyd lsp      # as an editor starts it"))
def command() -> None:
    """Serve an editor: the Language Server Protocol over standard input and output.

    Needs the extra packages of `policyd[editor]`. Ends when the editor does.
    """
    try:
        # Nothing else needs these packages.
        from policyd.editor.server import make_server
        from policyd.editor.session import Tools
    except ModuleNotFoundError as error:
        if error.name is None or error.name.startswith("policyd"):
            raise
        raise click.UsageError(
            f"the package {error.name} is missing: install `policyd[editor]`"
        ) from None
    # Copies, since the server closes what it is given, and the process has more to do with its own.
    stdin, stdout = (os.dup(stream.fileno()) for stream in (sys.stdin, sys.stdout))
    with os.fdopen(stdin, "rb") as incoming, os.fdopen(stdout, "wb") as outgoing:
        make_server(Tools(_read, _run, _find), __version__).start_io(incoming, outgoing)


def _read(path: Path) -> tuple[Read, ...]:
    if not path.exists():
        return ()
    found = find_files((path,), Wanted.ALL).files
    return tuple(Read(file.source, file.diagnostics) for file in found)


def _find(
    policies: PolicySet, sources: Sequence[Source], tests: Sequence[TestCase]
) -> tuple[Diagnostic, ...]:
    """Return the broken promises of policies that load, and what the linter finds."""
    found: tuple[Diagnostic, ...] = ()
    if any(api.proofs for api in policies.apis.values()):
        from policyd.prover.promises import Prover  # most policy sets promise nothing

        found = Prover().prove(policies)
    return (*found, *lint(policies, sources, tests))


def _run(policies: PolicySet, cases: Sequence[TestCase]) -> tuple[Diagnostic, ...]:
    return failures(run_tests(policies, cases))
