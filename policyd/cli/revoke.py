"""`policyd revoke`: write a revocation where the daemons read them."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, TypedDict, Unpack

import click
import msgspec

from policyd.cli.examples import examples
from policyd.cli.input import PATH
from policyd.cli.output import TEXT_OR_JSON, format_option, note
from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.errors import PolicydError
from policyd.language.literals import read_time
from policyd.tokens.claims.times import utc
from policyd.tokens.details import escaped
from policyd.tokens.revocation.model import InvalidRevocation, Revocation, RevocationKind

if TYPE_CHECKING:
    from policyd.config.configuration import Configuration
    from policyd.sources.revocations import RevocationSettings
    from policyd.sources.revocations.writing import RevocationStore

_FINDINGS = 1
#: Seconds by which an issuer's clock may be ahead: no more of the future can be revoked, since a
#: revocation cannot be taken back.
_AHEAD = 300
_NO_LOG = (
    "warning: this Redis keeps no log on disk (`appendonly`): if it stops, what no daemon has read "
    "is lost"
)


class _Revoke(TypedDict):
    config: Path
    jti: str | None
    subject: str | None
    client: str | None
    session: str | None
    organisation: str | None
    create: bool
    issuer: str | None
    issued_before: str | None
    until: str | None
    reason: str
    output: str


@click.command(
    "revoke",
    short_help="Add a revocation to the list that daemons read.",
    epilog=examples(
        "policyd revoke --create",
        "policyd revoke --subject 'auth0|123456' --reason 'account taken over' \\",
        "    --issuer https://my-domain.auth0.com/",
    ),
)
@click.option(
    "--config",
    type=PATH,
    default=Path("policyd.toml"),
    show_default=True,
    help="The configuration; its `[revocations]` says where the list is.",
)
@click.option("--jti", metavar="ID", help="Revoke one token, by its `jti`.")
@click.option(
    "--subject", metavar="NAME", help="Revoke all tokens of a subject, as policies name it."
)
@click.option("--client", metavar="NAME", help="Revoke all tokens of a client.")
@click.option("--session", metavar="ID", help="Revoke all tokens of a session (`sid`).")
@click.option(
    "--organisation", metavar="NAME", help="Revoke all tokens of an organisation (`org_id`)."
)
@click.option("--create", is_flag=True, help="Create an empty list if there is none.")
@click.option("--issuer", metavar="ISSUER", help="The issuer of the tokens, exactly as in `iss`.")
@click.option(
    "--issued-before",
    metavar="TIME",
    help="Revoke tokens issued before this time, as in 2026-11-22T10:00:00Z. [default: now]",
)
@click.option(
    "--until",
    metavar="TIME",
    help="When all these tokens have expired; for one token, its `exp`. "
    "[default: after `longest_token_life`]",
)
@click.option("--reason", default="", metavar="TEXT", help="The reason, for the log.")
@format_option(type=TEXT_OR_JSON)
def command(**options: Unpack[_Revoke]) -> None:
    """Revoke one token, or all tokens of a subject, client, session or organisation that were
    issued before a time.

    A revocation cannot be undone. Writing the same revocation twice does no harm. It is written to
    Redis if the configuration names one, else to the file.

    Exits with 1 if the file has lines that are not valid revocations.
    """
    from policyd.sources.revocations.wire import encode
    from policyd.sources.revocations.writing import store_of

    named = [(kind, value) for kind in RevocationKind if (value := _named(options, kind))]
    if len(named) + options["create"] != 1:
        raise click.UsageError(
            "name one of --jti, --subject, --client, --session and --organisation, or --create"
        )
    settings, issuers = _settings(options["config"])
    store = store_of(settings)
    if options["create"]:
        store.create()
        said, entry = f"made an empty list: {store}", None
    else:
        ((kind, value),) = named
        revocation = _revocation(options, kind, value, settings, issuers)
        _write(store, revocation)
        said, entry = f"{_described(revocation)}\nwritten to {store}", encode(revocation)
    if options["output"] == "json":
        found = {"list": str(store), "revocation": entry and msgspec.Raw(entry)}
        said = encode_json(found, indent=2).decode()
    click.echo(said)


def _named(options: _Revoke, kind: RevocationKind) -> str | None:
    return {
        RevocationKind.TOKEN: options["jti"],
        RevocationKind.SUBJECT: options["subject"],
        RevocationKind.CLIENT: options["client"],
        RevocationKind.SESSION: options["session"],
        RevocationKind.ORGANISATION: options["organisation"],
    }[kind]


def _settings(path: Path) -> tuple[RevocationSettings, tuple[str, ...]]:
    """Return where the list is, and the names of the issuers."""
    configuration = _configuration(path)
    if configuration.revocations is None:
        raise PolicydError(f"{path} has no `[revocations]`, so no daemon reads a list")
    return configuration.revocations, tuple(one.issuer for one in configuration.issuers)


def _configuration(path: Path) -> Configuration:
    # Reading a configuration needs libraries that no other verb waits for.
    from policyd.config.configuration import load_configuration
    from policyd.config.findings import ConfigurationInvalid
    from policyd.diagnostics.render import render

    try:
        return load_configuration(path)
    except ConfigurationInvalid as error:
        raise PolicydError(f"{path} cannot be used\n{render(error.diagnostics)}") from None


def _revocation(
    options: _Revoke,
    kind: RevocationKind,
    value: str,
    settings: RevocationSettings,
    issuers: tuple[str, ...],
) -> Revocation:
    issuer = options["issuer"]
    if issuer not in issuers:
        # With another issuer's name, the entry would be read and revoke nothing.
        known = ", ".join(issuers)
        said = "is missing" if issuer is None else f"{escaped(issuer)} is not configured"
        raise click.UsageError(f"--issuer {said}; configured: {known}")
    now = int(time.time())
    issued_before = _time(options["issued_before"], "--issued-before")
    until = _time(options["until"], "--until")
    if kind is RevocationKind.TOKEN:
        if issued_before is not None:
            raise click.UsageError("--issued-before cannot be combined with --jti")
        earliest = now + 1
    else:
        # Tokens state whole seconds, and the current second is not over.
        issued_before = now + 1 if issued_before is None else issued_before
        if issued_before > now + _AHEAD:
            raise click.UsageError(
                f"--issued-before is more than {_AHEAD} s in the future, and a revocation cannot "
                "be undone"
            )
        earliest = issued_before + settings.longest_token_life
    until = max(earliest, now + settings.longest_token_life) if until is None else until
    if until < earliest:
        one = kind is RevocationKind.TOKEN
        why = "the revocation would have ended already" if one else "tokens may last that long"
        raise click.UsageError(f"--until must not lie before {utc(earliest)}: {why}")
    try:
        return Revocation(issuer, kind, value, until, issued_before, options["reason"])
    except InvalidRevocation as error:
        raise click.UsageError(str(error)) from None


def _time(text: str | None, option: str) -> int | None:
    if text is None:
        return None
    try:
        return read_time(text)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint=option) from None


def _write(store: RevocationStore, revocation: Revocation) -> None:
    from policyd.diagnostics.render import render
    from policyd.sources.revocations.errors import RevocationsInvalid

    try:
        if not store.write(revocation):
            note(_NO_LOG)
    except RevocationsInvalid as error:
        note(f"{store} has errors, so no daemon would read it; nothing was written")
        note(render(error.diagnostics))
        raise click.exceptions.Exit(_FINDINGS) from None


def _described(revocation: Revocation) -> str:
    """Return what was revoked, for people."""
    since = ""
    if revocation.issued_before is not None:
        since = f", for tokens issued before {utc(revocation.issued_before)}"
    issuer = printable(revocation.issuer)
    return (
        f"revoked: {revocation.kind} {escaped(revocation.value)} of {issuer}{since}; "
        f"kept until {utc(revocation.until)}"
    )
