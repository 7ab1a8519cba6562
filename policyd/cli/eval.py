"""`policyd eval`: one decision, offline."""

from __future__ import annotations

from pathlib import Path
from typing import Unpack

import click

from policyd.cli import issuers, subject
from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH, read_clock, read_input
from policyd.cli.output import TEXT_OR_JSON, format_option, note
from policyd.decision.engine import Engine
from policyd.decision.errors import InvalidRequest
from policyd.decision.explain import Explanation
from policyd.decision.model import Request
from policyd.diagnostics.terminal import printable
from policyd.language.policy import Api, PolicySet
from policyd.replay.recorded import question_of, read_record
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tooling.evaluation import decision_json, decision_text
from policyd.tooling.subjects import TakenForGranted
from policyd.tooling.values import read_values


class _Options(subject.SubjectOptions):
    api: str | None
    decision: Path | None
    action: str | None
    resource: str | None
    attributes: tuple[str, ...]
    context: tuple[str, ...]
    unknown: tuple[str, ...]
    at: str | None
    trace: bool
    output: str


@click.command(
    epilog=examples(
        "policyd eval --claims claims.json --action read --resource patient:p1",
        "policyd eval --token access.jwt --config policyd.toml --action read \\",
        "    --resource patient:p1 --attr sealed=true --trace",
        "policyd eval --decision record.json --trace",
    )
)
@subject.POLICIES
@subject.CLAIMS
@subject.TOKEN
@subject.USERINFO
@click.option("--api", help="The API's name or audience. [default: the only one]")
@click.option(
    "--decision",
    type=PATH,
    metavar="FILE",
    help="A line of the decision log, decided again with its own question, token and time; - is "
    "stdin.",
)
@click.option("--action", help="The action to perform.")
@click.option("--resource", metavar="TYPE[:ID]", help="The resource to perform it on.")
@click.option(
    "--attr",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An attribute of the resource (repeatable).",
)
@click.option(
    "--context",
    "context",
    multiple=True,
    metavar="NAME=VALUE",
    help="An entry of the context (repeatable).",
)
@click.option(
    "--unknown",
    multiple=True,
    metavar="FACT",
    help="A fact that is not known yet, such as resource.amount; resource or context for all "
    "(repeatable). The decision is allow, deny or maybe.",
)
@click.option("--at", metavar="TIME", help="The current time, as in 2026-11-22T10:00:00Z.")
@click.option("--trace", is_flag=True, help="Show how each rule was evaluated.")
@issuers.CONFIG
@issuers.JWKS
@issuers.ISSUER
@subject.DIALECT
@issuers.ALGORITHM
@issuers.FETCH
@FOLLOW_OUTSIDE
@format_option(type=TEXT_OR_JSON)
def command(**options: Unpack[_Options]) -> None:
    """Decide one request offline, and show why.

    The policy gives each value its type: --attr sealed=true --attr amount=5
    --attr 'groups=["a","b"]'.

    A token is verified with the keys of --config or --jwks. Claims are not verified; `aud` and
    `exp` are added where they are missing. The contents of --userinfo are not verified either, and
    no issuer is asked about the user.

    Exits with 0 if the decision is allow, and with 1 if it is deny or maybe, or if the policies
    have errors.
    """
    policies = subject.read_policies(options)
    if options["decision"] is not None:
        _again(policies, options["decision"], options)
        return
    api = _api(policies, options["api"])
    now = read_clock(options["at"])
    asking = subject.subject_of(options, now)
    engine = Engine(asking.validator(api), lambda: now)
    engine.load(policies)
    request = _request(options, api, asking.token)
    unknown = options["unknown"]
    if unknown and options["trace"]:
        raise click.UsageError("--trace shows facts that are known: leave out --unknown")
    _show(_asked(engine, request, unknown, fetch=options["fetch"]), options)


def _again(policies: PolicySet, file: Path, options: _Options) -> None:
    """Decide a line of the decision log again, and say what has changed since."""
    given = (options["claims"], options["token"], options["action"], options["resource"])
    listed = options["attributes"] or options["context"] or options["unknown"]
    if any(given) or listed or options["at"]:
        raise click.UsageError("--decision brings its own question, token and time")
    record = read_record(read_input(file))
    question = question_of(record, policies)
    if question.masked:
        note(f"masked in the record, and missing here: {', '.join(question.masked)}")
    engine = Engine(TakenForGranted(question.token, question.userinfo), lambda: question.now)
    engine.load(policies)
    explanation = _asked(engine, question.request, fetch=False)
    now = explanation.decision
    before = (record.effect, record.reason)
    after = ("allow" if now.allowed else "deny", str(now.reason))
    same = "decided as it was then" if before == after else f"then it was {' '.join(before)}"
    note(f"{printable(record.decision_id)} of {record.time:%Y-%m-%dT%H:%M:%SZ}: {same}")
    _show(explanation, options)


def _asked(
    engine: Engine, request: Request, unknown: tuple[str, ...] = (), *, fetch: bool
) -> Explanation:
    try:
        return _explained(engine, request, unknown, fetch=fetch)
    except InvalidRequest as mistake:
        near = f"; did you mean `{mistake.suggestion}`?" if mistake.suggestion else ""
        raise click.UsageError(f"{mistake}{near}") from None


def _show(explanation: Explanation, options: _Options) -> None:
    if options["output"] == "json":
        click.echo(decision_json(explanation, trace=options["trace"]))
    else:
        click.echo(decision_text(explanation, trace=options["trace"]), nl=False)
    if not explanation.decision.allowed:
        raise click.exceptions.Exit(1)


def _explained(
    engine: Engine, request: Request, unknown: tuple[str, ...], *, fetch: bool
) -> Explanation:
    """Decide. With `fetch`, the issuer of an opaque token is asked about it."""

    def decide() -> Explanation:
        if unknown:
            return Explanation(decision=engine.check_partially(request, unknown))
        return engine.explain(request)

    try:
        return decide()
    except TokenPending as pending:
        if not fetch:
            raise click.UsageError(
                "the token is opaque, and its issuer was not asked about it; add --fetch to ask"
            ) from None
        pending.fetch()
        return decide()


def _api(policies: PolicySet, name: str | None) -> Api:
    if name is not None:
        return subject.named_api(policies, name)
    if len(policies.apis) > 1:
        raise click.UsageError(f"name the API, one of --api {', '.join(policies.apis)}")
    return next(iter(policies.apis.values()))


def _request(options: _Options, api: Api, token: str) -> Request:
    action, resource = options["action"], options["resource"]
    if not action or not resource:
        missing = "--resource" if action else "--action"
        raise click.UsageError(f"Missing option '{missing}'.")
    kind, _, identifier = resource.partition(":")
    declared = api.resources.get(kind)
    return Request(
        access_token=token,
        api=api.name,
        action=action,
        resource_type=kind,
        resource_id=identifier,
        attributes=read_values(options["attributes"], declared.attributes if declared else ()),
        context=read_values(options["context"], api.context),
    )
