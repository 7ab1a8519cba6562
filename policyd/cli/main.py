"""The command `policyd`: finds the verb, runs it, and returns its exit code.

A verb's module is imported when the verb is used, so that `policyd check` does not wait for gRPC.

Exit codes: 0 ok or allowed; 1 findings, failed tests or denied; 2 wrong usage or configuration;
3 an internal error.
"""

from __future__ import annotations

import logging
import os
import signal
import sys
from collections.abc import Sequence
from importlib import import_module
from typing import NoReturn

import click

from policyd import __version__
from policyd.cli.examples import examples
from policyd.cli.output import has_colours
from policyd.diagnostics import closest
from policyd.diagnostics.terminal import printable
from policyd.errors import InternalError, PolicydError

#: Each verb with one line of help; `policyd.cli.VERB`, with `_` for `-`, holds it under the
#: name `command`.
VERBS = {
    "activate": "Activate an earlier policy set in a running daemon: an emergency rollback.",
    "blame": "Show who wrote each line of a rule, and when.",
    "bundle": "Build, sign, verify or show a bundle of policies.",
    "check": "Check policies as the daemon does when it loads them.",
    "completion": "Print a script that completes verbs and options in a shell.",
    "diff": "Show the effect of a change of policies, proven for all tokens.",
    "eval": "Decide one request offline, and show why.",
    "explain": "Show the page of a diagnostic code or a reason.",
    "fmt": "Format policies.",
    "init": "Begin a policy set: policy, tests, configuration, checks for CI.",
    "lint": "Report style and safety problems in policies that load.",
    "lsp": "Serve an editor: diagnostics, completion, renaming.",
    "mutate": "Change policies in small ways, and report changes that no test notices.",
    "query": "Ask a running daemon for one decision.",
    "replay": "Decide the requests of a decision log again, and show which decisions differ.",
    "revoke": "Add a revocation to the list that daemons read.",
    "routes": "Print the table from HTTP requests to actions.",
    "serve": "Run the daemon.",
    "shadow": "Show which checks the shadow policies of a daemon would have decided differently.",
    "show": "Show the policy text of a past decision.",
    "stats": "Show statistics of a decision log.",
    "status": "Show what a running daemon serves, and its problems.",
    "test": "Run the policies' tests.",
    "token": "Make a development token, or inspect a token.",
    "version": "Show the versions of the program, the language and the API.",
    "what-can": "Show what a token can do, proven for all requests.",
    "who-can": "Show in which ways an action is allowed, proven for all tokens.",
}

#: Names of verbs in other tools, or that people expect.
OTHER_WORDS = {
    "ask": "query",
    "compile": "check",
    "compare": "diff",
    "coverage": "test",
    "decide": "eval",
    "format": "fmt",
    "inspect": "token",
    "mint": "token",
    "new": "init",
    "rerun": "replay",
    "rollback": "activate",
    "run": "serve",
    "start": "serve",
    "statistics": "stats",
    "validate": "check",
    "verify": "check",
    "what": "what-can",
    "who": "who-can",
}

OK, FINDINGS, USAGE, INTERNAL = 0, 1, 2, 3

# Only the daemon logs. Verbs print their findings.
logging.getLogger("policyd").addHandler(logging.NullHandler())


class _Verbs(click.Group):
    """The group of all verbs, each loaded when it is asked for."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click calls it so
        return sorted(VERBS)

    def get_command(
        self,
        ctx: click.Context,  # noqa: ARG002 - click calls it so
        cmd_name: str,
    ) -> click.Command | None:
        if cmd_name not in VERBS:
            return None
        module = import_module(f"policyd.cli.{cmd_name.replace('-', '_')}")
        command = module.command
        if not isinstance(command, click.Command):
            raise InternalError(f"policyd.cli.{cmd_name} has no command")
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        word = args[0]
        if word not in VERBS and not word.startswith("-") and not ctx.resilient_parsing:
            meant = OTHER_WORDS.get(word) or closest(word, VERBS)
            hint = f"did you mean `{meant}`?" if meant else "`policyd --help` lists the verbs"
            ctx.fail(f"there is no verb `{printable(word)}`; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(
        self,
        ctx: click.Context,  # noqa: ARG002 - click calls it so
        formatter: click.HelpFormatter,
    ) -> None:
        with formatter.section("Commands"):
            formatter.write_dl(sorted(VERBS.items()))


@click.command(
    cls=_Verbs,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog=examples(
        "policyd check policies",
        "policyd test policies --coverage",
        "policyd eval --help",
    ),
)
@click.version_option(__version__, message="policyd %(version)s")
def policyd() -> None:
    """Policy-based authorization for OAuth 2.0 resource servers.

    Exit codes: 0 ok or allowed; 1 findings, failed tests or denied; 2 wrong usage or
    configuration; 3 internal error. Data goes to standard output, messages to standard error.
    """


def run(arguments: Sequence[str] | None = None) -> int:
    """Run the command and return its exit code. `None` stands for the process's arguments."""
    try:
        # Without `color`, click takes colours out of what goes into a pipe, FORCE_COLOR or not.
        result = policyd.main(
            args=arguments, prog_name="policyd", standalone_mode=False, color=has_colours() or None
        )
        sys.stdout.flush()
    except click.exceptions.Abort:
        return 128 + signal.SIGINT
    except click.ClickException as error:
        error.show()
        return USAGE
    except BrokenPipeError:
        # The reader of the output has stopped, so the findings were not delivered. Click does the
        # same where it sees this first. Nothing more can be written, not even at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FINDINGS
    except Exception as error:
        return _failed(error)
    return result if isinstance(result, int) else OK


def _failed(error: Exception) -> int:
    """Report an error: one that the user can correct, or a defect of policyd."""
    if os.environ.get("POLICYD_DEBUG") == "1":
        raise error
    if isinstance(error, PolicydError) and not isinstance(error, InternalError):
        click.echo(f"Error: {_shown(str(error))}", err=True)
        return USAGE
    said = str(error) if isinstance(error, InternalError) else f"{type(error).__name__}: {error}"
    click.echo(f"Internal error: {_shown(said)}", err=True)
    click.echo("This is a defect of policyd. POLICYD_DEBUG=1 shows where it is.", err=True)
    return INTERNAL


def _shown(text: str) -> str:
    return "\n".join(map(printable, text.split("\n")))


def main() -> NoReturn:
    """Run the command for this process."""
    sys.exit(run())
