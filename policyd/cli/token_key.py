"""`policyd token key`: makes the keys of an issuer that stands in for a real one."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.tokens.algorithms import ALGORITHMS
from policyd.tokens.minting import generate_key, key_set_text, write_private_key

_NEW = click.Path(path_type=Path, dir_okay=False)


@click.command(
    "key",
    epilog=examples(
        "policyd token key --private stand-in.jwk --public stand-in-keys.json",
        "policyd token mint --key stand-in.jwk --dialect keycloak \\",
        "    --issuer https://keycloak.example.com/realms/clinic \\",
        "    --audience health-api --scope read:patients",
    ),
)
@click.option(
    "--private",
    required=True,
    type=_NEW,
    help="The file for the private JWK; it must not exist yet.",
)
@click.option(
    "--public",
    required=True,
    type=_NEW,
    help="The file for the public key set: an issuer's `jwks_file`.",
)
@click.option(
    "--algorithm",
    type=click.Choice(ALGORITHMS),
    default="RS256",
    show_default=True,
    help="The algorithm that the key signs with.",
)
def key(private: Path, public: Path, algorithm: str) -> None:
    """Make a key pair that stands in for an issuer's.

    `policyd token mint` signs tokens with the private key. A daemon whose `jwks_file` is the public
    key set accepts these tokens, so never use it on a daemon that others use.
    """
    made = generate_key(algorithm)
    try:
        write_private_key(made, private)
    except FileExistsError:
        raise click.UsageError(
            f"{private} exists already: name another file, or move it away"
        ) from None
    except OSError as error:
        raise click.UsageError(f"{private} cannot be written: {error.strerror}") from None
    try:
        public.write_bytes(key_set_text(made) + b"\n")
    except OSError as error:
        raise click.UsageError(f"{public} cannot be written: {error.strerror}") from None
    click.echo(f"wrote  {private}\nwrote  {public}")
