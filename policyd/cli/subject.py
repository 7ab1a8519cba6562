"""The token that a verb is about, and the policies: verified, or as unverified claims of a file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TypedDict

import click
import msgspec

from policyd.cli import issuers
from policyd.cli.input import PATH, read_input
from policyd.cli.issuing import configured_issuers, read_payload
from policyd.cli.nearest import nearest, policy_paths
from policyd.cli.output import counted, note, warn
from policyd.decision.engine import Validator
from policyd.json_types import Json
from policyd.language.policy import Api, PolicySet
from policyd.tokens.claims import facts
from policyd.tokens.jws import read_object
from policyd.tokens.refusals import TokenRefused
from policyd.tokens.settings.dialect import Dialect
from policyd.tokens.settings.dialect_table import DIALECTS
from policyd.tooling.files import Wanted
from policyd.tooling.policies import load_policies
from policyd.tooling.subjects import ISSUER, TakenForGranted, WithUserinfo

_TOKEN = "POLICYD_TOKEN"

POLICIES = click.option(
    "--policies",
    multiple=True,
    type=PATH,
    help="A policy file or a directory (repeatable). [default: those of --config, or of the "
    "nearest policyd.toml]",
)
CLAIMS = click.option(
    "--claims", type=PATH, help="A JSON file with claims, not verified; - is stdin."
)
TOKEN = click.option(
    "--token",
    type=PATH,
    help=f"A file with an access token, verified; - is stdin. [default: ${_TOKEN}]",
)
USERINFO = click.option(
    "--userinfo", type=PATH, help="A JSON file with the issuer's userinfo response; - is stdin."
)
DIALECT = click.option(
    "--dialect",
    type=click.Choice(tuple(DIALECTS)),
    metavar="[auth0|okta|…]",
    help="The dialect of the issuer of --claims or --jwks. [default: that of the `iss` of the "
    "claims in the configuration, else oidc]",
)


class PolicyOptions(TypedDict):
    """The values of the options that say which policies a verb is about."""

    policies: tuple[Path, ...]
    config: Path | None
    follow_outside: bool


class SubjectOptions(PolicyOptions):
    """The values of the options above, and of those that say which issuers to trust."""

    claims: Path | None
    token: Path | None
    userinfo: Path | None
    jwks: Path | None
    issuer: str | None
    dialect: str | None
    algorithms: tuple[str, ...]
    fetch: bool


class Subject(msgspec.Struct, frozen=True):
    """A token to verify, or claims that are taken for granted."""

    now: float
    trusted: Validator | None
    token: str
    claims: Mapping[str, Json] = {}
    dialect: str | Dialect = "oidc"
    userinfo: Mapping[str, Json] | None = None

    def validator(self, api: Api) -> Validator:
        """Return the validator of the token for an API. Raises `click.UsageError`."""
        if self.trusted is not None:
            return self.trusted
        assumed: dict[str, Json] = {
            "iss": ISSUER,
            "aud": [*api.audiences],
            "exp": int(self.now) + 3600,
        }
        try:
            verified = facts.read(self.dialect, {}, {**assumed, **self.claims})
        except TokenRefused as refusal:
            raise click.UsageError(f"--claims: {refusal}") from None
        return TakenForGranted(verified, self.userinfo)


def subject_of(options: SubjectOptions, now: float) -> Subject:
    """Read the token or the claims that the options name. Raises `click.UsageError`."""
    claims = options["claims"]
    if claims is not None and options["token"] is not None:
        raise click.UsageError("--claims and --token exclude each other")
    userinfo = _read_userinfo(options["userinfo"])
    if claims is None:
        trust = issuers.TrustOptions(
            options["config"],
            options["jwks"],
            options["issuer"],
            options["dialect"] or "oidc",
            options["algorithms"],
            options["fetch"],
        ).or_nearest()
        return Subject(now, WithUserinfo(trust.validator(now), userinfo), _token(options["token"]))
    note("The claims were not verified: no signature, audience or time was checked.")
    payload = read_payload(claims)
    return Subject(now, None, "", payload, _dialect(options, payload), userinfo)


def _dialect(options: SubjectOptions, payload: Mapping[str, Json]) -> str | Dialect:
    """Return the dialect of the issuer of some claims."""
    if options["dialect"] is not None:
        return options["dialect"]
    config = options["config"] or nearest()
    for one in configured_issuers(config, asked=options["config"] is not None):
        if one.issuer == payload.get("iss"):
            note(f"the dialect of {one.issuer} in {config}: {one.dialect}")
            return one.dialect_row
    return "oidc"


def read_policies(options: PolicyOptions) -> PolicySet:
    """Return the policies of a command line. If they have errors, show these and exit."""
    there = policy_paths(
        options["policies"],
        options["config"],
        follow_outside=options["follow_outside"],
        named="--policies PATH",
    )
    loaded = load_policies(there.paths, Wanted.POLICIES, follow_outside=there.follow_outside)
    warn(loaded.diagnostics)
    if loaded.policies is None:
        note(f"{loaded.summary}: {counted(loaded.diagnostics)}")
        raise click.exceptions.Exit(1)
    return loaded.policies


def named_api(policies: PolicySet, name: str) -> Api:
    """Return the API of a name or an audience. Raises `click.UsageError`."""
    for api in policies.apis.values():
        if name == api.name or name in api.audiences:
            return api
    raise click.UsageError(f"no API is called {name}; there are {', '.join(policies.apis)}")


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
