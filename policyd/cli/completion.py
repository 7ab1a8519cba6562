"""`policyd completion`: the script with which a shell completes verbs and options."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from policyd.cli.examples import examples
from policyd.errors import InternalError

SHELLS = ("bash", "fish", "zsh")


@click.command(
    epilog=examples(
        'eval "$(policyd completion bash)"      # in ~/.bashrc',
        'eval "$(policyd completion zsh)"       # in ~/.zshrc, after compinit',
        "policyd completion fish > ~/.config/fish/completions/policyd.fish",
    )
)
@click.argument("shell", type=click.Choice(SHELLS))
@click.pass_context
def command(ctx: click.Context, shell: str) -> None:
    """Print a script that completes verbs, options, codes and files in a shell.

    The script asks `policyd` itself, so it need not change when policyd is upgraded.
    """
    found = get_completion_class(shell)
    if found is None:
        raise InternalError(f"click has no completion for {shell}")
    root = ctx.find_root().command
    click.echo(found(root, {}, "policyd", "_POLICYD_COMPLETE").source())
