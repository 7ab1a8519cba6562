"""How issuers write tokens, for the verbs that read claims as an issuer writes them."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import click

from policyd.cli.input import read_input
from policyd.cli.output import note
from policyd.errors import PolicydError
from policyd.tokens.jws import read_object
from policyd.tokens.refusals import TokenRefused
from policyd.tooling.issuing import Issuing, dialect_of

if TYPE_CHECKING:
    from policyd.json_types import Json
    from policyd.tokens.settings.issuers import IssuerSettings


def configured_issuers(config: Path | None, *, asked: bool) -> tuple[IssuerSettings, ...]:
    """Return the issuers of a configuration.

    If the configuration was not `asked` for by option, it may be unusable, such as one without
    issuers.
    """
    if config is None:
        return ()
    from policyd.cli.issuers import read_configuration

    try:
        return read_configuration(config).issuers
    except PolicydError:
        if asked:
            raise
        note(f"{config} cannot be used, so no dialects are known: `policyd check` says why")
        return ()


def read_payload(file: Path) -> dict[str, Json]:
    """Return the claims of a file, as their issuer wrote them. Raises `click.UsageError`."""
    try:
        return read_object(read_input(file), "claims")
    except TokenRefused as refusal:
        raise click.UsageError(f"--claims: {refusal}") from None


def issuing(issuers: tuple[IssuerSettings, ...], files: Iterable[str]) -> Issuing:
    """Return how these issuers write tokens, and the claims of files that are each named as
    `FILE` or `DIALECT=FILE`. Raises `click.UsageError`."""
    claims: dict[str, dict[str, Json]] = {}
    for given in files:
        dialect, sign, name = given.rpartition("=")
        payload = read_payload(Path(name))
        known = dialect if sign else dialect_of(payload, issuers)
        if known is None:
            raise click.UsageError(
                f"--claims {name}: no configured issuer is the `iss` of these claims; name the "
                f"dialect, as in `--claims keycloak={name}`"
            )
        if known in claims:
            raise click.UsageError(f"--claims: `{known}` has two files")
        claims[known] = payload
    return Issuing(issuers, claims)
