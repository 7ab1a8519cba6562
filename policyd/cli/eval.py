"""`policyd eval`: one decision, offline."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, Unpack

import click

from policyd.cli import issuers
from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH, read_clock, read_input
from policyd.cli.issuing import configured_issuers, read_payload
from policyd.cli.nearest import PolicyPaths, nearest, policy_paths
from policyd.cli.output import TEXT_OR_JSON, counted, format_option, note, warn
from policyd.decision.engine import Engine, Validator
from policyd.decision.errors import InvalidRequest
from policyd.decision.explain import Explanation
from policyd.decision.model import Request
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json
from policyd.language.policy import Api, PolicySet
from policyd.replay.recorded import question_of, read_record
from policyd.tokens.claims import facts
from policyd.tokens.endpoints.pending import TokenPending
from policyd.tokens.jws import read_object
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tooling.evaluation import decision_json, decision_text
from policyd.tooling.files import Wanted
from policyd.tooling.policies import load_policies
from policyd.tooling.subjects import ISSUER, TakenForGranted, WithUserinfo
from policyd.tooling.values import read_values

_TOKEN = "POLICYD_TOKEN"


class _Options(TypedDict):
    policies: tuple[Path, ...]
    claims: Path | None
    token: Path | None
    userinfo: Path | None
    api: str | None
    decision: Path | None
    action: str | None
    resource: str | None
    attributes: tuple[str, ...]
    context: tuple[str, ...]
    unknown: tuple[str, ...]
    at: str | None
    trace: bool
    config: Path | None
    jwks: Path | None
    issuer: str | None
    dialect: str | None
    algorithms: tuple[str, ...]
    fetch: bool
    follow_outside: bool
    output: str


@click.command(
    epilog=examples(
        "policyd eval --claims claims.json --action read --resource patient:p1",
        "policyd eval --token access.jwt --config policyd.toml --action read \\",
        "    --resource patient:p1 --attr sealed=true --trace",
        "policyd eval --decision record.json --trace",
    )
)
@click.option(
    "--policies",
    multiple=True,
    type=PATH,
    help="A policy file or a directory (repeatable). [default: those of --config, or of the "
    "nearest policyd.toml]",
)
@click.option("--claims", type=PATH, help="A JSON file with claims, not verified; - is stdin.")
@click.option(
    "--token",
    type=PATH,
    help=f"A file with an access token, verified; - is stdin. [default: ${_TOKEN}]",
)
@click.option(
    "--userinfo", type=PATH, help="A JSON file with the issuer's userinfo response; - is stdin."
)
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
@click.option(
    "--dialect",
    type=click.Choice(tuple(DIALECTS)),
    help="The dialect of the issuer of --claims or --jwks. [default: that of the `iss` of the "
    "claims in the configuration, else oidc]",
)
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

    Exits with 0 if the decision is allow, with 1 if it is deny, or maybe, or the policies have
    errors.
    """
    policies = _policies(
        policy_paths(
            options["policies"], options["config"], follow_outside=options["follow_outside"]
        )
    )
    if options["decision"] is not None:
        _again(policies, options["decision"], options)
        return
    api = _api(policies, options["api"])
    now = read_clock(options["at"])
    validator, token = _subject(options, api, now)
    engine = Engine(validator, lambda: now)
    engine.load(policies)
    request = _request(options, api, token)
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


def _policies(there: PolicyPaths) -> PolicySet:
    loaded = load_policies(there.paths, Wanted.POLICIES, follow_outside=there.follow_outside)
    warn(loaded.diagnostics)
    if loaded.policies is None:
        note(f"{loaded.summary}: {counted(loaded.diagnostics)}")
        raise click.exceptions.Exit(1)
    return loaded.policies


def _api(policies: PolicySet, name: str | None) -> Api:
    if name is None:
        if len(policies.apis) > 1:
            raise click.UsageError(f"name the API, one of --api {', '.join(policies.apis)}")
        return next(iter(policies.apis.values()))
    for api in policies.apis.values():
        if name == api.name or name in api.audiences:
            return api
    raise click.UsageError(f"no API is called {name}; there are {', '.join(policies.apis)}")


def _subject(options: _Options, api: Api, now: float) -> tuple[Validator, str]:
    """Return the validator and the token's text, which is empty for unverified claims."""
    claims, token, dialect = options["claims"], options["token"], options["dialect"]
    if claims is not None and token is not None:
        raise click.UsageError("--claims and --token exclude each other")
    userinfo = _read_userinfo(options["userinfo"])
    if claims is None:
        trust = issuers.TrustOptions(
            options["config"],
            options["jwks"],
            options["issuer"],
            dialect or "oidc",
            options["algorithms"],
            options["fetch"],
        ).or_nearest()
        return WithUserinfo(trust.validator(now), userinfo), _token(token)
    note("The claims were not verified: no signature, audience or time was checked.")
    assumed: dict[str, Json] = {"iss": ISSUER, "aud": [*api.audiences], "exp": int(now) + 3600}
    payload = read_payload(claims)
    try:
        verified = facts.read(_dialect(options, payload), {}, assumed | payload)
        return TakenForGranted(verified, userinfo), ""
    except TokenRefused as refusal:
        raise click.UsageError(f"--claims: {refusal}") from None


def _dialect(options: _Options, payload: Mapping[str, Json]) -> str | Dialect:
    """Return how the issuer of some claims writes them."""
    if options["dialect"] is not None:
        return options["dialect"]
    config = options["config"] or nearest()
    issuers = configured_issuers(config, asked=options["config"] is not None)
    for one in issuers:
        if one.issuer == payload.get("iss"):
            note(f"the dialect of {one.issuer} in {config}: {one.dialect}")
            return one.dialect_row
    return "oidc"


def _read_userinfo(path: Path | None) -> dict[str, Json] | None:
    """Return the userinfo claims of `--userinfo`, `None` without the option."""
    if path is None:
        return None
    try:
        return read_object(read_input(path), "userinfo")
    except TokenRefused as refusal:
        raise click.UsageError(f"--userinfo: {refusal}") from None


def _token(path: Path | None) -> str:
    if path is not None:
        return read_input(path).decode("ascii", errors="replace").strip()
    token = os.environ.get(_TOKEN)
    if token is None:
        raise click.UsageError(f"give --claims FILE or --token FILE, or set {_TOKEN}")
    return token.strip()


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
