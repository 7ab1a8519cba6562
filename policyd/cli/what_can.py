"""`policyd what-can`: what a token can do, proven for all requests."""

from __future__ import annotations

from math import floor
from typing import Unpack

import click

from policyd.cli import issuers, subject
from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, read_clock
from policyd.cli.output import TEXT_OR_JSON, format_option
from policyd.decision.engine import Engine
from policyd.decision.model import Decision, Request
from policyd.language.policy import Api, PolicySet
from policyd.reasons import Reason
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tokens.model import VerifiedToken
from policyd.tooling.blast import TokenCan, what_can
from policyd.tooling.blast_text import what_can_json, what_can_text
from policyd.tooling.minted import BY_RULES


class _Options(subject.SubjectOptions):
    api: str | None
    at: str | None
    examples: bool
    output: str


@click.command(
    epilog=examples(
        "policyd what-can --claims claims.json",
        "policyd what-can --token access.jwt --config policyd.toml --format json",
    )
)
@subject.POLICIES
@subject.CLAIMS
@subject.TOKEN
@subject.USERINFO
@click.option("--api", help="The API's name or audience. [default: all]")
@click.option("--at", metavar="TIME", help="The current time, as in 2026-11-22T10:00:00Z.")
@click.option("--examples", is_flag=True, help="Show a request that is allowed and one denied.")
@issuers.CONFIG
@issuers.JWKS
@issuers.ISSUER
@subject.DIALECT
@issuers.ALGORITHM
@issuers.FETCH
@FOLLOW_OUTSIDE
@format_option(type=TEXT_OR_JSON)
def command(**options: Unpack[_Options]) -> None:
    """Show what a token can do, proven for all requests.

    Each action is allowed always, never, or depending on the request; then the conditions are
    shown, with the token's values filled in. The answer holds for one moment: now, or --at. A token
    is verified as `policyd eval` does; claims are not verified.

    Exits with 0 if the token can do anything, and with 1 if it cannot or the policies have errors.
    """
    policies = subject.read_policies(options)
    name = options["api"]
    apis = [*policies.apis.values()] if name is None else [subject.named_api(policies, name)]
    now = read_clock(options["at"])
    asking = subject.subject_of(options, now)
    found = [_can(policies, api, asking, fetch=options["fetch"]) for api in apis]
    reports = [report for report, _ in found]
    if options["output"] == "json":
        click.echo(what_can_json(reports, floor(now)))
    else:
        token = next((one for _, one in found if one is not None), None)
        shown = options["examples"]
        click.echo(what_can_text(reports, token, floor(now), examples=shown), nl=False)
    if all(one.outcome == "never" for report in reports for one in report.actions):
        raise click.exceptions.Exit(1)


def _can(
    policies: PolicySet, api: Api, asking: subject.Subject, *, fetch: bool
) -> tuple[TokenCan, VerifiedToken | None]:
    """Return what the token can do at an API, and the token if it is accepted there."""
    decision = _decision(policies, api, asking, fetch=fetch)
    token = None if decision is None else decision.token
    if decision is None:
        return TokenCan(api.name, ()), None
    if decision.reason not in (*BY_RULES, Reason.UNDECIDED) or token is None:
        why = f"{decision.reason}: {decision.detail or decision.message}"
        return TokenCan(api.name, (), why), token
    if not token.audience.isdisjoint(api.audiences) or not token.audience:
        return what_can(api, token, decision.userinfo, floor(asking.now)), token
    return TokenCan(api.name, (), f"{Reason.AUDIENCE_MISMATCH}: it is for another API"), token


def _decision(
    policies: PolicySet, api: Api, asking: subject.Subject, *, fetch: bool
) -> Decision | None:
    """Return an answer about some action, which tells whether the token is accepted."""
    action = next(((one, it) for one in api.resources.values() for it in one.actions), None)
    if action is None:
        return None
    engine = Engine(asking.validator(api), lambda: asking.now)
    engine.load(policies)
    request = Request(asking.token, api.name, action[1], action[0].name)
    unknown = ("resource", "context")
    try:
        return engine.check_partially(request, unknown)
    except TokenPending as pending:
        if not fetch:
            raise click.UsageError(
                "the token is opaque, and its issuer was not asked about it; add --fetch to ask"
            ) from None
        pending.fetch()
        return engine.check_partially(request, unknown)
