"""`policyd bundle`: builds, signs, verifies and shows bundles of policies."""

from __future__ import annotations

import hashlib
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TypedDict, Unpack

import click
import msgspec

from policyd.cli.examples import examples
from policyd.cli.input import PATH, read_clock
from policyd.cli.nearest import policies_folder
from policyd.cli.output import TEXT_OR_JSON, format_option, note, plural, warn
from policyd.diagnostics import has_errors
from policyd.diagnostics.terminal import printable
from policyd.language import load
from policyd.language.literals import read_time
from policyd.language.text import read as read_text
from policyd.sources.policies.bundle.manifest import Manifest
from policyd.sources.policies.signatures.trust import Trust
from policyd.tooling.bundled import bundled_commit, bundled_folder
from policyd.tooling.bundles import (
    BundleUnusable,
    Named,
    build,
    open_bundle,
    policies,
    sign,
    signature_of,
    verified,
)

_FINDINGS = 1
_FILE = click.argument("file", type=PATH)


class _Build(TypedDict):
    source: str
    name: str
    folder: Path | None
    sequence: int | None
    expires: str | None
    output_file: Path | None
    output: str


@click.group(
    epilog=examples(
        "policyd bundle build HEAD --name orders",
        "policyd bundle sign orders.tar.gz --key ~/.ssh/id_ed25519",
        "policyd bundle verify orders.tar.gz --allowed-signers allowed_signers",
    )
)
def command() -> None:
    """Build, sign, verify or show a bundle of policies.

    A bundle is one file with the policies of a commit. Daemons with `[policies.bundle]` in their
    configuration pull it.
    """


@command.command(
    "build",
    epilog=examples(
        "policyd bundle build HEAD --name orders",
        "policyd bundle build v1.2 --name orders -o build/orders.tar.gz",
        "policyd bundle build policies --name orders --sequence 42",
    ),
)
@click.argument("source", default="HEAD")
@click.option(
    "--name", required=True, help="The name that daemons expect: `name` in `[policies.bundle]`."
)
@click.option(
    "--policies",
    "folder",
    type=PATH,
    metavar="DIR",
    help="The folder with the policies, also in a commit. [default: that of the nearest "
    "policyd.toml, else `policies`]",
)
@click.option(
    "--sequence",
    type=click.IntRange(min=1),
    help="A number that grows with each bundle. [default: the number of commits up to SOURCE]",
)
@click.option(
    "--expires", metavar="TIME", help="Daemons refuse it after this time, as 2027-01-31T00:00:00Z."
)
@click.option(
    "-o", "--output", "output_file", type=PATH, help="The file to write. [default: NAME.tar.gz]"
)
@format_option(type=TEXT_OR_JSON)
def build_command(**options: Unpack[_Build]) -> None:
    """Make a bundle of SOURCE, a commit or a folder.

    The same commit gives the same bytes. The bundle contains policies and tests. Policies that do
    not load are not built.

    Exits with 1 if the policies have errors.
    """
    named, files = _source(options)
    loaded = [read_text(name, data) for name, data in policies(files).items()]
    made = load([one.source for one in loaded])
    found = (*(each for one in loaded for each in one.diagnostics), *made.diagnostics)
    if found:
        warn(found)
    if has_errors(found):
        note(f"the policies of {printable(options['source'])} have errors; nothing is built")
        raise click.exceptions.Exit(_FINDINGS)
    manifest, data = build(named, files)
    path = options["output_file"] or Path(f"{named.name}.tar.gz")
    _write(path, data)
    digest = hashlib.sha256(data).hexdigest()
    if options["output"] == "json":
        click.echo(_json(manifest, file=str(path), sha256=digest))
        return
    click.echo(f"{path}: {_words(manifest)}, {len(data):,} bytes")
    click.echo(f"sha256 {digest}")


def _source(options: _Build) -> tuple[Named, dict[str, bytes]]:
    """Return the name of the bundle, and its files."""
    source, expires = options["source"], options["expires"]
    ends = None
    if expires is not None:
        ends = datetime.fromtimestamp(_time(expires), UTC)
        if ends.timestamp() <= time.time():
            raise click.BadParameter("this time is in the past", param_hint="--expires")
    if Path(source).is_dir():
        if options["sequence"] is None:
            raise click.UsageError("a folder has no number of commits: give --sequence")
        now = datetime.now(UTC)
        named = Named(options["name"], options["sequence"], now, expires=ends)
        return named, bundled_folder(Path(source))
    found = bundled_commit(source, options["folder"] or policies_folder(), options["sequence"])
    named = Named(options["name"], found.sequence, found.created, found.commit, ends)
    return named, found.files


@command.command(
    "sign",
    epilog=examples(
        "policyd bundle sign orders.tar.gz --key ~/.ssh/id_ed25519",
        "policyd bundle verify orders.tar.gz --allowed-signers allowed_signers",
    ),
)
@_FILE
@click.option("--key", required=True, type=PATH, help="A private key of OpenSSH.")
@click.option("--signature", type=PATH, help="The file to write. [default: FILE.sig]")
def sign_command(file: Path, key: Path, signature: Path | None) -> None:
    """Sign the bundle FILE with an SSH key; the signature goes to FILE.sig.

    `ssh-keygen -Y sign -n policyd-bundle` does the same, and supports agents and passphrases.
    """
    path = signature or signature_of(file)
    _write(path, sign(file, key))
    click.echo(str(path))


@command.command(
    "verify",
    epilog=examples(
        "policyd bundle verify orders.tar.gz --allowed-signers allowed_signers",
        "policyd bundle verify orders.tar.gz --name orders \\",
        "    --allowed-signers allowed_signers",
    ),
)
@_FILE
@click.option(
    "--allowed-signers",
    required=True,
    type=PATH,
    help="The keys that may sign (ssh-keygen(1), ALLOWED SIGNERS).",
)
@click.option("--revoked-keys", type=PATH, help="Public keys that are revoked, one a line.")
@click.option("--signature", type=PATH, help="The signature. [default: FILE.sig]")
@click.option("--name", help="The name that the bundle must have.")
@click.option("--at", metavar="TIME", help="Judge as of this time. [default: now]")
@format_option(type=TEXT_OR_JSON)
def verify_command(
    file: Path,
    allowed_signers: Path,
    revoked_keys: Path | None,
    signature: Path | None,
    name: str | None,
    at: str | None,
    output: str,
) -> None:
    """Verify the bundle FILE as a daemon does.

    Checks the signature, the digests of the files, the name, the expiry and the language.

    Exits with 1 if a daemon would refuse it.
    """
    trust = Trust(allowed_signers, revoked_keys)
    where = signature or signature_of(file)
    try:
        bundle, signer = verified(file, where, trust, read_clock(at), name)
    except BundleUnusable as error:
        note(f"refused: {printable(str(error))}")
        raise click.exceptions.Exit(_FINDINGS) from None
    if output == "json":
        click.echo(_json(bundle.manifest, file=str(file), signer=signer))
        return
    click.echo(printable(f"{file}: {_words(bundle.manifest)}, signed by {signer}"))


@command.command(
    "inspect",
    epilog=examples(
        "policyd bundle inspect orders.tar.gz",
        "policyd bundle inspect orders.tar.gz --format json",
    ),
)
@_FILE
@format_option(type=TEXT_OR_JSON)
def inspect_command(file: Path, output: str) -> None:
    """Show the manifest and the files of the bundle FILE.

    Only the digests of the files are checked. To check the signature, use `policyd bundle verify`.
    """
    bundle = open_bundle(file)
    manifest, signed = bundle.manifest, signature_of(file).exists()
    if output == "json":
        click.echo(_json(manifest, file=str(file), signed=signed))
        return
    expires = "never" if manifest.expires is None else f"{manifest.expires:%Y-%m-%d %H:%M:%S}Z"
    rows = (
        ("bundle", manifest.label),
        ("commit", manifest.commit or "none"),
        ("created", f"{manifest.created:%Y-%m-%d %H:%M:%S}Z"),
        ("expires", expires),
        ("language", manifest.language),
        ("signature", "present, not verified" if signed else "none"),
    )
    for name, value in rows:
        click.echo(f"{name:<10} {printable(value)}")
    for one in bundle.contents:
        digest = manifest.files[one.name]
        click.echo(f"{digest[:12]}  {len(one.data or b''):>9,}  {printable(one.name)}")


def _words(manifest: Manifest) -> str:
    commit = f", commit {manifest.commit[:12]}" if manifest.commit else ""
    return f"{manifest.label}{commit}, {plural(len(manifest.files), 'file')}"


def _json(manifest: Manifest, **more: object) -> str:
    document = {**more, "manifest": msgspec.to_builtins(manifest)}
    return msgspec.json.format(msgspec.json.encode(document)).decode()


def _time(moment: str) -> float:
    try:
        return read_time(moment)
    except ValueError as problem:
        raise click.BadParameter(str(problem), param_hint="--expires") from None


def _write(path: Path, data: bytes) -> None:
    """Write a file atomically, so that no daemon pulls half of it."""
    new = path.with_name(f".{path.name}.new")
    try:
        new.write_bytes(data)
        new.replace(path)
    except OSError as error:
        raise BundleUnusable(f"{path}: {error.strerror}") from None
