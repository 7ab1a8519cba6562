"""`policyd token`: makes development tokens, and shows what a token holds."""

from __future__ import annotations

import secrets
import time
from pathlib import Path
from typing import TypedDict, Unpack

import click

from policyd.cli import issuers
from policyd.cli.output import PATH, TEXT_OR_JSON, format_option, read_clock, read_input
from policyd.tokens.inspection import inspect
from policyd.tokens.issuers import DIALECTS
from policyd.tokens.jws import read_object
from policyd.tokens.minting import read_private_key, sign
from policyd.tokens.model import Json, ResourceServer
from policyd.tokens.refusals import TokenMalformed
from policyd.tooling.inspections import inspection_json, inspection_text


class _Mint(TypedDict):
    key: Path
    issuer: str
    audiences: tuple[str, ...]
    subject: str
    client: str
    scopes: tuple[str, ...]
    dialect: str
    lifetime: int
    claims: Path | None


@click.group()
def command() -> None:
    """Make a development token, or look into one."""


@command.command()
@click.option("--key", required=True, type=PATH, help="A file with a private JWK; - is stdin.")
@click.option("--issuer", required=True, help="`iss`")
@click.option("--audience", "audiences", required=True, multiple=True, help="`aud`")
@click.option("--subject", default="auth0|developer", show_default=True, help="`sub`")
@click.option("--client", default="development", show_default=True, help="The application's id.")
@click.option("--scope", "scopes", multiple=True, help="A scope; give one for each.")
@click.option(
    "--dialect", type=click.Choice(DIALECTS), default="auth0", show_default=True, help="How."
)
@click.option(
    "--lifetime", type=click.IntRange(1, 86_400), default=3600, show_default=True, help="Seconds."
)
@click.option("--claims", type=PATH, help="A JSON file with more claims, which win.")
def mint(**options: Unpack[_Mint]) -> None:
    """Sign a development token with a key of your own, and write it to standard output.

    `policyd serve --dev` makes such a key and says where it is.
    """
    key = read_private_key(read_input(options["key"]))
    header, claims = _claims(options, int(time.time()))
    click.echo(sign(key, claims, header))


def _claims(options: _Mint, now: int) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return the header's additions, and the payload, as the dialect writes them."""
    rfc9068 = options["dialect"].endswith("rfc9068")
    audiences: list[Json] = [*options["audiences"]]
    claims: dict[str, Json] = {
        "iss": options["issuer"],
        "sub": options["subject"],
        "aud": audiences if len(audiences) > 1 else audiences[0],
        "client_id" if rfc9068 else "azp": options["client"],
        "scope": " ".join(options["scopes"]),
        "iat": now,
        "exp": now + options["lifetime"],
        "jti": secrets.token_urlsafe(12),
    }
    if options["claims"] is not None:
        try:
            claims |= read_object(read_input(options["claims"]), "claims")
        except TokenMalformed as problem:
            raise click.UsageError(f"--claims: {problem}") from None
    return ({"typ": "at+jwt"} if rfc9068 else {}), claims


class _Inspect(TypedDict):
    file: Path
    api: str
    audiences: tuple[str, ...]
    at: str | None
    config: Path | None
    jwks: Path | None
    issuer: str | None
    dialect: str | None
    algorithms: tuple[str, ...]
    output: str


@command.command("inspect")
@click.argument("file", type=PATH, default=Path("-"), metavar="[FILE]")
@click.option("--audience", "audiences", multiple=True, help="An audience of the API asked.")
@click.option("--api", default="", help="The API's name, where issuers are bound to APIs.")
@click.option("--at", metavar="TIME", help="The clock, as in 2026-11-22T10:00:00Z.")
@issuers.CONFIG
@issuers.JWKS
@issuers.ISSUER
@issuers.DIALECT
@issuers.ALGORITHM
@format_option(type=TEXT_OR_JSON)
def inspect_command(**options: Unpack[_Inspect]) -> None:
    """Show what a token holds, and how each validation step judges it.

    FILE holds the token; without it, or with -, standard input does. What needs an issuer's keys or
    an API's audiences is skipped unless they are given.

    Exits with 1 when a step fails.
    """
    trust = issuers.Trust(
        options["config"],
        options["jwks"],
        options["issuer"],
        options["dialect"],
        options["algorithms"],
    )
    text = read_input(options["file"]).decode("utf-8", errors="replace").strip()
    audiences = frozenset(options["audiences"])
    now = read_clock(options["at"])
    inspection = inspect(
        text,
        now,
        issuers=trust.open(now) if trust.stated else None,
        api=ResourceServer(options["api"], audiences) if audiences else None,
    )
    if options["output"] == "json":
        click.echo(inspection_json(inspection))
    else:
        click.echo(inspection_text(inspection), nl=False)
    if inspection.reason is not None:
        raise click.exceptions.Exit(1)
