"""`policyd who-can`: in which ways an action is allowed, proven for all tokens and requests."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE
from policyd.cli.output import TEXT_OR_JSON, format_option
from policyd.cli.premises import CONFIG, premises_of
from policyd.cli.subject import POLICIES, named_api, read_policies
from policyd.diagnostics import closest
from policyd.language.policy import Api
from policyd.prover.universe import Side
from policyd.prover.ways import MOST
from policyd.tooling.blast import who_can
from policyd.tooling.blast_text import who_can_json, who_can_text


@click.command(
    epilog=examples(
        "policyd who-can delete on document",
        "policyd who-can delete on document --config policyd.toml --examples",
        "policyd who-can read on patient --policies policies/health --format json",
    )
)
@click.argument("action")
@click.argument("on", type=click.Choice(["on"]), metavar="on")
@click.argument("resource")
@POLICIES
@click.option("--api", "name", help="The API's name or audience. [default: all that have it]")
@CONFIG
@click.option(
    "--most",
    type=click.IntRange(1, 1000),
    default=MOST,
    show_default=True,
    help="Stop after that many ways.",
)
@click.option("--examples", "shown", is_flag=True, help="Show a token and a request for each way.")
@FOLLOW_OUTSIDE
@format_option(type=TEXT_OR_JSON)
def command(
    action: str, on: str, resource: str, policies: tuple[Path, ...], name: str | None,
    config: Path | None, most: int, shown: bool, follow_outside: bool, output: str,
) -> None:  # fmt: skip
    """Show in which ways an action on a resource is allowed, proven for all tokens.

    A way is a list of conditions that together allow the action, whatever else the token and the
    request say; none of them can be left out. If the list is complete, it is proven that there is
    no other way. For each way there is an example, which both evaluators allow, also as a token
    that the issuers write.

    Exits with 0 if there is a way, and with 1 if there is none or the policies have errors.
    """
    assert on == "on", "click lets nothing else pass"
    loaded = read_policies(
        {"policies": policies, "config": config, "follow_outside": follow_outside}
    )
    apis = [*loaded.apis.values()] if name is None else [named_api(loaded, name)]
    sides = [
        Side(api, api.resources[resource], action)
        for api in apis
        if resource in api.resources and action in api.resources[resource].actions
    ]
    if not sides:
        raise click.UsageError(_unknown(apis, action, resource))
    premises, dialects, configuration = premises_of(config, loaded.apis)
    reports = [who_can(loaded, side, premises, dialects, configuration, most) for side in sides]
    if output == "json":
        click.echo(who_can_json(reports))
    else:
        click.echo(who_can_text(reports, examples=shown), nl=False)
    if not any(report.ways or not report.complete for report in reports):
        raise click.exceptions.Exit(1)


def _unknown(apis: list[Api], action: str, resource: str) -> str:
    """Say that nothing is declared so, and what is nearest."""
    resources = {one for api in apis for one in api.resources}
    if resource not in resources:
        near = closest(resource, resources)
        hint = (
            f"; did you mean `{near}`?" if near else f"; there are {', '.join(sorted(resources))}"
        )
        return f"no API declares the resource `{resource}`{hint}"
    found = [api.resources[resource] for api in apis if resource in api.resources]
    actions = {one for declared in found for one in declared.actions}
    near = closest(action, actions)
    hint = f"; did you mean `{near}`?" if near else f"; it has {', '.join(sorted(actions))}"
    return f"`{resource}` has no action `{action}`{hint}"
