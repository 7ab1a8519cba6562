"""`policyd query`: ask a running daemon for one decision."""

from __future__ import annotations

import os
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click
import msgspec

from policyd.cli.answers import answer_of, filter_json, filter_text, told_json, told_text
from policyd.cli.examples import examples
from policyd.cli.output import TEXT_OR_JSON, format_option
from policyd.cli.target import DEFAULT_TARGET, Identity, full_target, why_unreachable
from policyd.errors import PolicydError
from policyd.tokens.settings.dialect_table import DIALECTS

if TYPE_CHECKING:
    from policyd.client import (
        Answer,
        AuthorizationFailed,
        Client,
        Explanation,
        Filter,
        Json,
        PartialAnswer,
        Proof,
        Question,
    )

_DENIED = 1
_TOKEN = "POLICYD_TOKEN"
#: Seconds for which a token made from --claims is valid.
_SIGNED_FOR = 60
FILE = click.Path(path_type=Path, exists=True, dir_okay=False)


class _Options(TypedDict):
    target: str
    api: str
    action: str
    resource: str
    token_file: Path | None
    claims: Path | None
    key: Path | None
    issuer: str | None
    dialect: str
    attributes: tuple[str, ...]
    context: tuple[str, ...]
    dpop_proof: Path | None
    method: str
    url: str
    certificate: Path | None
    authorities: Path | None
    client_certificate: Path | None
    client_key: Path | None
    explain: bool
    unknown: tuple[str, ...]
    database: str | None
    timeout: float
    output: str


@click.command(
    "query",
    epilog=examples(
        "policyd query --token access.jwt --action read --resource patient:p1",
        "policyd query --target localhost --api health --action read \\",
        "    --resource patient:p1 --attr sealed=true --token - < access.jwt",
        "policyd query --target pdp.example.com:8181 --authorities ca.pem \\",
        "    --token access.jwt --action list --resource patients --explain",
        "policyd query --token access.jwt --action read --resource patient \\",
        "    --unknown resource",
        "policyd query --claims claims.json --key key.json --dialect keycloak \\",
        "    --action read --resource patient:p1",
    ),
)
@click.option(
    "--target",
    default=DEFAULT_TARGET,
    envvar="POLICYD_TARGET",
    show_default=True,
    show_envvar=True,
    metavar="ADDR",
    help="`host:port`, a host with the default port, or `unix:path`.",
)
@click.option("--api", default="", help="The API's name or audience; else the daemon's default.")
@click.option("--action", required=True, help="The action to perform.")
@click.option(
    "--resource", required=True, metavar="TYPE[:ID]", help="The resource to perform it on."
)
@click.option(
    "--token",
    "token_file",
    type=click.Path(path_type=Path, allow_dash=True),
    help=f"A file with the access token; - is stdin. [default: ${_TOKEN}]",
)
@click.option(
    "--claims",
    type=click.Path(path_type=Path, allow_dash=True),
    help="A real token's claims (JSON), in place of --token; needs --key.",
)
@click.option(
    "--key",
    type=FILE,
    help="A private JWK that signs --claims, for a minute. The daemon must trust it, as it trusts "
    "that of `policyd serve --dev`.",
)
@click.option("--issuer", help="The issuer (`iss`), in place of the one in --claims.")
@click.option(
    "--dialect",
    type=click.Choice(tuple(DIALECTS)),
    metavar="[auth0|okta|…]",
    default="auth0",
    show_default=True,
    help="The dialect of --claims, which decides the token's header.",
)
@click.option(
    "--attr",
    "attributes",
    multiple=True,
    metavar="NAME=VALUE",
    help="An attribute of the resource (repeatable).",
)
@click.option(
    "--context", multiple=True, metavar="NAME=VALUE", help="An entry of the context (repeatable)."
)
@click.option(
    "--dpop-proof",
    type=FILE,
    help="A file with the DPoP proof; needs --method and --url.",
)
@click.option("--method", default="", help="The method of the request that the proof is for.")
@click.option("--url", default="", help="The absolute URL of that request.")
@click.option(
    "--certificate",
    type=FILE,
    help="The sender's certificate (PEM) of mutual TLS.",
)
@click.option(
    "--authorities",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    help="Certificate authorities (PEM) of the daemon's certificate; without them, no TLS is used.",
)
@click.option(
    "--client-certificate",
    type=FILE,
    help="Your own certificate (PEM), for a daemon that asks its callers for one; needs "
    "--client-key.",
)
@click.option("--client-key", type=FILE, help="The private key (PEM) of that certificate.")
@click.option(
    "--explain", is_flag=True, help="Show how each rule came to its value, if the daemon allows it."
)
@click.option(
    "--unknown",
    multiple=True,
    metavar="FACT",
    help="A fact that is not known yet, such as resource.amount; resource or context for all "
    "(repeatable). The answer is allow, deny or maybe.",
)
@click.option(
    "--filter",
    "database",
    type=click.Choice(["sqlite", "postgres"]),
    help="Ask on which resources of TYPE the action is allowed, and show the condition for a "
    "database query, with the attributes' names as column names.",
)
@click.option("--timeout", type=float, default=5.0, show_default=True, help="Seconds to wait.")
@format_option(type=TEXT_OR_JSON)
def command(**options: Unpack[_Options]) -> None:
    """Ask a running daemon for one decision.

    A VALUE that is JSON is read as JSON, and any other as a text: `sealed=true`, `org_id=org_1`,
    `room='"12"'`.

    Exits with 0 if the action is allowed, and with 1 if it is denied or depends on unknown facts.
    With --filter, exits with 0 if it is allowed on some resource, or on all.
    """
    _check(options)
    # gRPC's own messages on standard error would repeat those below. It reads this when loaded.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    from policyd.client import AuthorizationFailed

    target = full_target(options["target"])
    question = _question(options)
    with _client(options, target) as client:
        try:
            if options["database"] is not None:
                _show_filter(_filter(client, question), options["database"], options["output"])
                return
            told = _ask(client, question, options["unknown"], explain=options["explain"])
        except AuthorizationFailed as failed:
            raise _no_answer(failed, target, options) from None
    click.echo(told_json(told) if options["output"] == "json" else told_text(told))
    if not answer_of(told).allowed:
        raise click.exceptions.Exit(_DENIED)


def _check(options: _Options) -> None:
    """Raise `click.UsageError` for options that exclude or need each other."""
    open_or_shown = options["explain"] or options["unknown"]
    if options["database"] is not None and (
        open_or_shown or options["attributes"] or ":" in options["resource"]
    ):
        raise click.UsageError("--filter asks about all resources of a type: name its TYPE alone")
    if options["explain"] and options["unknown"]:
        raise click.UsageError("--explain and --unknown exclude each other")
    if (options["client_certificate"] is None) is not (options["client_key"] is None):
        raise click.UsageError("--client-certificate and --client-key go together")


def _question(options: _Options) -> Question:
    """Return the question, with its token. Raises `click.UsageError`."""
    from policyd.client import Question, Resource

    signed = _signed(options["claims"], options["key"], options["issuer"], options["dialect"])
    if signed is not None and options["token_file"] is not None:
        raise click.UsageError("--claims and --token exclude each other")
    type_, _, id_ = options["resource"].partition(":")
    return Question(
        signed or _token(options["token_file"]),
        options["action"],
        Resource(type_, id_, _values("--attr", options["attributes"])),
        options["api"],
        _values("--context", options["context"]),
        _proof(options["dpop_proof"], options["method"], options["url"], options["certificate"]),
    )


def _client(options: _Options, target: str) -> Client:
    """Return a client for the target. Raises `click.UsageError`."""
    from policyd.client import Client

    try:
        return Client(
            target,
            timeout=options["timeout"],
            authorities=_bytes(options["authorities"]),
            certificate=_bytes(options["client_certificate"]),
            private_key=_bytes(options["client_key"]),
        )
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def _filter(client: Client, question: Question) -> Filter:
    return client.filter(
        question.access_token,
        action=question.action,
        resource_type=question.resource.type,
        api=question.api,
        context=question.context,
        proof=question.proof,
    )


def _show_filter(made: Filter, database: str, output: str) -> None:
    from policyd.client.filters import FilterRefused, postgres, sqlite

    printer = sqlite.where if database == "sqlite" else postgres.where
    try:
        where = printer(made, {one.name: f'"{one.name}"' for one in made.attributes})
    except FilterRefused as refused:
        raise NoAnswer(refused.message) from None
    click.echo(filter_json(made, where) if output == "json" else filter_text(made, where))
    if made.outcome == "none":
        raise click.exceptions.Exit(_DENIED)


def _ask(
    client: Client, question: Question, unknown: tuple[str, ...], *, explain: bool
) -> Answer | Explanation | PartialAnswer:
    if explain:
        return client.explain(question)
    if unknown:
        return client.partial_check(question, unknown)
    return client.ask(question)


def _bytes(file: Path | None) -> bytes | None:
    return None if file is None else file.read_bytes()


class NoAnswer(PolicydError):
    """The daemon gave no decision."""


def _no_answer(failed: AuthorizationFailed, target: str, options: _Options) -> NoAnswer:
    """Return why there is no answer, with advice if a look at the target gives some."""
    advice = None
    if failed.code == "INVALID_ARGUMENT" and not options["api"] and "`default_api`" in str(failed):
        return NoAnswer(f"{failed}: give --api NAME")
    if failed.code == "UNIMPLEMENTED":
        return NoAnswer(f"{target} explains nothing: ask a listener under `explain_listen`")
    if failed.code in ("UNAVAILABLE", "DEADLINE_EXCEEDED"):
        authorities = options["authorities"]
        files = (options["client_certificate"], options["client_key"])
        advice = why_unreachable(target, Identity(authorities, *files) if authorities else None)
    if advice is None:
        return NoAnswer(str(failed))
    return NoAnswer(f"{failed.code}: {target} gives no answer: {advice}")


def _proof(
    dpop_proof: Path | None, method: str, url: str, certificate: Path | None
) -> Proof | None:
    from policyd.client import Proof, thumbprint

    if dpop_proof is not None and not (method and url):
        raise click.UsageError("--dpop-proof needs --method and --url beside it")
    if dpop_proof is None and certificate is None:
        return None
    try:
        return Proof(
            dpop_proofs=() if dpop_proof is None else (dpop_proof.read_text().strip(),),
            http_method=method,
            http_uri=url,
            client_certificate_sha256=""
            if certificate is None
            else thumbprint(certificate.read_text()),
        )
    except (OSError, ValueError) as error:
        raise click.UsageError(f"the proof cannot be read: {error}") from None


def _signed(claims: Path | None, key: Path | None, issuer: str | None, dialect: str) -> str | None:
    """Return a token with the claims of a file, valid from now on; `None` without --claims."""
    if claims is None or key is None:
        if claims is not None or key is not None:
            raise click.UsageError("--claims and --key go together")
        return None
    from policyd.cli.issuing import read_payload
    from policyd.tokens.minting import read_private_key, sign

    now = int(time.time())
    payload = {**read_payload(claims), "iat": now, "exp": now + _SIGNED_FOR}
    payload.pop("nbf", None)
    if issuer is not None:
        payload["iss"] = issuer
    typed = {"typ": "at+jwt"} if DIALECTS[dialect].at_jwt else {}
    return sign(read_private_key(key.read_bytes()), payload, {**typed})


def _token(file: Path | None) -> str:
    if file is None:
        token = os.environ.get(_TOKEN)
        if token is None:
            raise click.UsageError(f"no token: give --token FILE, or set {_TOKEN}")
        return token.strip()
    if file == Path("-"):
        return sys.stdin.read().strip()
    try:
        return file.read_text().strip()
    except OSError as error:
        said = f"{file} cannot be read: {error.strerror}"
    except UnicodeDecodeError:
        said = f"{file} holds no text, so no token"
    raise click.BadParameter(said, param_hint="--token")


def _values(option: str, pairs: Iterable[str]) -> dict[str, Json]:
    values: dict[str, Json] = {}
    for pair in pairs:
        name, separator, text = pair.partition("=")
        if not separator or not name:
            raise click.BadParameter(f"`{pair}` is not NAME=VALUE", param_hint=option)
        if name in values:
            raise click.BadParameter(f"`{name}` is given twice", param_hint=option)
        try:
            value: Json = msgspec.json.decode(text)
        except msgspec.DecodeError:
            value = text
        values[name] = value
    return values
