"""`policyd activate`: activates a named policy set, whatever its source has now."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.operating import AUTHORITIES, CERTIFICATE, KEY, TARGET, TIMEOUT, ask
from policyd.diagnostics.terminal import printable


@click.command(
    epilog=examples(
        "policyd activate 3f2a90c1d5e7",
        "policyd activate --target unix:/run/policyd/admin.sock 3f2a90c1d5e7",
    )
)
@click.argument("revision", metavar="REV")
@TARGET
@AUTHORITIES
@CERTIFICATE
@KEY
@TIMEOUT
def command(
    revision: str,
    target: str | None,
    authorities: Path | None,
    client_certificate: Path | None,
    client_key: Path | None,
    timeout: float,
) -> None:
    """Activate an earlier policy set in a running daemon: an emergency rollback.

    REV is a commit or a policy revision that served before, or the beginning of one, or a bundle
    that served before, such as orders@42. It may also be a set that never served: a commit by its
    full id, which the daemon fetches even if it does not descend from the one in service; or the
    bundle that the server has now, even if its sequence is lower. The set goes through all steps of
    an activation, and serves until the source has a newer one.
    """
    files = (authorities, client_certificate, client_key)
    status = ask(target, files, timeout, lambda remote: remote.activate(revision))
    where = status.provenance
    commit = f"commit {where.commit} of {where.ref}" if where.commit else where.place
    what = f"bundle {where.label}" if where.label else commit
    click.echo(printable(f"{what} serves, as revision {status.revision}"))
