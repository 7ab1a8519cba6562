"""`policyd token`: makes development tokens, and shows what a token holds."""

from __future__ import annotations

import secrets
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict, Unpack

import click

from policyd.cli import issuers
from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH, read_clock, read_input
from policyd.cli.nearest import nearest, policy_paths
from policyd.cli.output import TEXT_OR_JSON, columns, format_option, warn
from policyd.cli.token_key import key
from policyd.json_types import Json
from policyd.language.policy import PolicySet
from policyd.tokens.claims.writing import AccessToken, write
from policyd.tokens.inspection import Surroundings, inspect, named_audience
from policyd.tokens.jws import read_object
from policyd.tokens.minting import read_private_key, sign
from policyd.tokens.model import ResourceServer, SenderProof
from policyd.tokens.refusals import TokenMalformed
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tooling.declared_claims import DeclaredClaim, declared_claims
from policyd.tooling.files import Wanted
from policyd.tooling.inspections import inspection_json, inspection_text
from policyd.tooling.policies import load_policies

#: Whom `policyd serve --dev` trusts (`server.development`, which this module must not load).
DEVELOPMENT_ISSUER = "https://development.policyd.invalid/"
_REDIS = "the list in Redis is not asked here: only the daemon knows"
_NONE = "no API is given: --policies, --audience"
_SEVERAL = "which API is asked is not given, and the token does not tell: --api"


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


@click.group(
    epilog=examples(
        "policyd token inspect access.jwt --config policyd.toml",
        "policyd token mint --help",
        "policyd token key --help",
    )
)
def command() -> None:
    """Make a development token or its key, or inspect a token."""


command.add_command(key)


@command.command(
    epilog=examples(
        "policyd token mint --key key.json --scope read:patients",
        "policyd token mint --key key.json --issuer https://my-domain.auth0.com/ \\",
        "    --audience https://example.com/health-api --scope read:patients",
    )
)
@click.option("--key", required=True, type=PATH, help="A file with a private JWK; - is stdin.")
@click.option(
    "--issuer",
    default=DEVELOPMENT_ISSUER,
    show_default=True,
    help="The issuer, `iss`. The default is that of `policyd serve --dev`.",
)
@click.option(
    "--audience",
    "audiences",
    multiple=True,
    help="An audience, `aud` (repeatable). [default: those of the only API of the nearest "
    "policyd.toml]",
)
@click.option("--subject", default="auth0|developer", show_default=True, help="The subject, `sub`.")
@click.option("--client", default="development", show_default=True, help="The client's identifier.")
@click.option("--scope", "scopes", multiple=True, help="A granted scope (repeatable).")
@click.option(
    "--dialect",
    type=click.Choice(tuple(DIALECTS)),
    metavar="[auth0|okta|…]",
    default="auth0",
    show_default=True,
    help="The dialect whose claims the token gets.",
)
@click.option(
    "--lifetime",
    type=click.IntRange(1, 86_400),
    default=3600,
    show_default=True,
    help="Seconds until the token expires.",
)
@click.option(
    "--claims",
    type=PATH,
    help="A JSON file with more claims; they replace claims of one name; null removes one.",
)
def mint(**options: Unpack[_Mint]) -> None:
    """Make a token for development, signed with your own key.

    The token goes to standard output. `policyd serve --dev` makes such a key and prints its path;
    `policyd token key` makes one that stands in for your issuer.
    """
    signing = read_private_key(read_input(options["key"]))
    if not options["audiences"]:
        options["audiences"] = _own_audiences()
    header, claims = _claims(options, int(time.time()))
    click.echo(sign(signing, claims, header))


def _own_audiences() -> tuple[str, ...]:
    """Return the audiences of the API that the nearest configuration is about."""
    if nearest() is None:
        raise click.UsageError("name the API that the token is for: --audience")
    there = policy_paths((), follow_outside=False)
    loaded = load_policies(there.paths, Wanted.POLICIES, follow_outside=there.follow_outside)
    if loaded.policies is None:
        raise click.UsageError("the policies have errors: correct them, or give --audience")
    apis = loaded.policies.apis
    if len(apis) > 1:
        known = ", ".join(api.audiences[0] for api in apis.values())
        raise click.UsageError(f"name the API that the token is for: --audience, one of {known}")
    (api,) = apis.values()
    return api.audiences[:1]


def _claims(options: _Mint, now: int) -> tuple[dict[str, Json], dict[str, Json]]:
    """Return the header's additions, and the payload, as the dialect writes them."""
    header, claims = write(
        options["dialect"],
        AccessToken(
            issuer=options["issuer"],
            subject=options["subject"],
            client=options["client"],
            audiences=options["audiences"],
            scopes=options["scopes"],
            issued_at=now,
            expires_at=now + options["lifetime"],
            token_id=secrets.token_urlsafe(12),
        ),
    )
    if options["claims"] is not None:
        try:
            claims |= read_object(read_input(options["claims"]), "claims")
        except TokenMalformed as problem:
            raise click.UsageError(f"--claims: {problem}") from None
    return header, {name: value for name, value in claims.items() if value is not None}


class _Inspect(TypedDict):
    file: Path
    api: str
    audiences: tuple[str, ...]
    policies: tuple[Path, ...]
    at: str | None
    dpop_proof: Path | None
    method: str
    url: str
    certificate: Path | None
    config: Path | None
    jwks: Path | None
    issuer: str | None
    dialect: str | None
    algorithms: tuple[str, ...]
    fetch: bool
    follow_outside: bool
    output: str


@command.command(
    "inspect",
    epilog=examples(
        "policyd token inspect access.jwt --config policyd.toml",
        "pbpaste | policyd token inspect",
        "policyd token inspect access.jwt --jwks jwks.json --dialect auth0 \\",
        "    --issuer https://my-domain.auth0.com/ --at 2026-01-15T10:00:00Z",
    ),
)
@click.argument("file", type=PATH, default=Path("-"), metavar="[FILE]")
@click.option("--audience", "audiences", multiple=True, help="An audience of the API (repeatable).")
@click.option("--api", default="", help="The API's name. [default: the one that the token is for]")
@click.option(
    "--policies",
    multiple=True,
    type=PATH,
    help="Policies that declare the audiences of APIs (repeatable). [default: those of --config]",
)
@click.option("--at", metavar="TIME", help="The current time, as in 2026-11-22T10:00:00Z.")
@click.option(
    "--dpop-proof", type=PATH, help="A file with the DPoP proof; needs --method and --url."
)
@click.option("--method", default="", help="The method of the request that the proof is for.")
@click.option("--url", default="", help="The absolute URL of that request.")
@click.option("--certificate", type=PATH, help="The sender's certificate (PEM) of mutual TLS.")
@issuers.CONFIG
@issuers.JWKS
@issuers.ISSUER
@issuers.DIALECT
@issuers.ALGORITHM
@issuers.FETCH
@FOLLOW_OUTSIDE
@format_option(type=TEXT_OR_JSON)
def inspect_command(**options: Unpack[_Inspect]) -> None:
    """Show a token's contents, and the result of each validation step.

    FILE holds the token; without FILE, or with -, the token is read from standard input. A step
    that lacks its input, such as the issuer's keys or the API's audiences, is skipped. With
    --config, every step runs as in the daemon. The network is used only with --fetch.

    Exits with 1 if a step fails.
    """
    trust = issuers.TrustOptions(
        options["config"],
        options["jwks"],
        options["issuer"],
        options["dialect"],
        options["algorithms"],
        options["fetch"],
    ).or_nearest()
    now = read_clock(options["at"])
    believed = trust.open(now) if trust.stated else issuers.Believed((), {})
    policies = _policies(options, believed)
    apis = _apis(options, policies)
    text = read_input(options["file"]).decode("utf-8", errors="replace").strip()
    api = _asked(options, apis, text)
    inspection = inspect(
        text,
        now,
        issuers=believed.issuers if trust.stated else None,
        api=api,
        around=Surroundings(
            max_token_bytes=believed.max_token_bytes,
            constraints=believed.constraints,
            revocations=believed.revocations,
            proof=_proof(options),
            without_keys=believed.without_keys,
            doubts={"revocation": _REDIS} if believed.redis else {},
            no_api=_SEVERAL if apis else _NONE,
        ),
    )
    declared = _declared(policies, api, inspection.claims)
    if options["output"] == "json":
        click.echo(inspection_json(inspection, apis, declared))
    else:
        click.echo(inspection_text(inspection, apis, columns(), declared), nl=False)
    if inspection.reason is not None:
        raise click.exceptions.Exit(1)


def _declared(
    policies: PolicySet | None, asked: ResourceServer | None, claims: Mapping[str, Json] | None
) -> tuple[DeclaredClaim, ...]:
    """Return the claims that the API in question declares, as the token has them."""
    api = None if policies is None or asked is None else policies.apis.get(asked.name)
    return () if api is None or claims is None else declared_claims(api, claims)


def _policies(options: _Inspect, believed: issuers.Believed) -> PolicySet | None:
    """Return the policies that are named, or configured."""
    if options["audiences"]:
        return None
    configured = () if believed.policies is None else (believed.policies,)
    paths = options["policies"] or configured
    if not paths:
        return None
    follow_outside = options["follow_outside"] or believed.follow_outside
    loaded = load_policies(paths, Wanted.POLICIES, follow_outside=follow_outside)
    warn(loaded.diagnostics)
    if loaded.policies is None:
        raise click.UsageError("the policies have errors: correct them, or give --audience")
    return loaded.policies


def _apis(options: _Inspect, policies: PolicySet | None) -> tuple[ResourceServer, ...]:
    """Return the APIs that are known, sorted by name."""
    if options["audiences"]:
        return (ResourceServer(options["api"], frozenset(options["audiences"])),)
    apis = () if policies is None else policies.apis.values()
    return tuple(ResourceServer(api.name, frozenset(api.audiences)) for api in apis)


def _asked(options: _Inspect, apis: tuple[ResourceServer, ...], text: str) -> ResourceServer | None:
    """Return the API to judge for: the one that is named, else the one the token is for."""
    name = options["api"]
    if name and apis:
        for api in apis:
            if name == api.name or name in api.audiences:
                return api
        raise click.UsageError(
            f"no API is called {name}; there are {', '.join(api.name for api in apis)}"
        )
    if len(apis) > 1:
        meant = named_audience(text)
        apis = tuple(api for api in apis if meant.intersection(api.audiences))
    return apis[0] if len(apis) == 1 else None


def _proof(options: _Inspect) -> SenderProof:
    proof, certificate = options["dpop_proof"], options["certificate"]
    if proof is not None and not (options["method"] and options["url"]):
        raise click.UsageError("--dpop-proof needs --method and --url beside it")
    proofs = () if proof is None else (read_input(proof).decode("utf-8", "replace").strip(),)
    return SenderProof(
        dpop_proofs=proofs,
        http_method=options["method"],
        http_uri=options["url"],
        client_certificate_sha256="" if certificate is None else _thumbprint(certificate),
    )


def _thumbprint(path: Path) -> str:
    # The client brings gRPC along, which this verb needs for nothing else.
    from policyd.client import thumbprint

    try:
        return thumbprint(read_input(path).decode("ascii", "replace"))
    except ValueError as problem:
        raise click.UsageError(f"--certificate: {problem}") from None
