"""`policyd status`: what running daemons serve, and what is amiss."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from policyd.cli import fleet
from policyd.cli.examples import examples
from policyd.cli.operating import AUTHORITIES, CERTIFICATE, KEY, TARGETS, TIMEOUT, ask
from policyd.cli.output import TEXT_OR_JSON, format_option, plural
from policyd.cli.rows import age, mark, origin, rows
from policyd.diagnostics.terminal import printable

if TYPE_CHECKING:
    from policyd.server.wire.admin import ActivationRecord, PolicyStatus, SinkStatus, Status

_AMISS = 1


@click.command(
    epilog=examples(
        "policyd status",
        "policyd status --activations 10",
        "policyd status --reload",
        "policyd status --target unix:/run/policyd/admin.sock --format json",
        "policyd status --target 10.0.0.1:8183 --target 10.0.0.2:8183 --timeout 5",
    )
)
@TARGETS
@AUTHORITIES
@CERTIFICATE
@KEY
@TIMEOUT
@click.option(
    "--activations",
    type=click.IntRange(0, 1000),
    default=0,
    metavar="N",
    help="Also show the outcomes of the newest N policy sets.",
)
@click.option("--reload", is_flag=True, help="Have the daemon look for changed policies first.")
@format_option(type=TEXT_OR_JSON)
def command(
    targets: tuple[str, ...],
    authorities: Path | None,
    client_certificate: Path | None,
    client_key: Path | None,
    timeout: float,
    activations: int,
    reload: bool,
    output: str,
) -> None:
    """Show what a running daemon serves, and what is amiss.

    Exits with 1 if it does not serve, or if anything is amiss. Of several daemons, it shows which
    revision each serves, and exits with 1 also if these are not the same.
    """
    files = (authorities, client_certificate, client_key)
    if len(targets) > 1:
        if activations:
            raise click.UsageError("--activations are those of one daemon")
        _several(fleet.ask_all(targets, files, timeout, reload=reload), output)
        return
    target = targets[0] if targets else None
    if reload:
        ask(target, files, timeout, lambda remote: remote.reload())
    status = ask(target, files, timeout, lambda remote: remote.status())
    listed: tuple[ActivationRecord, ...] = ()
    if activations:
        found = ask(target, files, timeout, lambda remote: remote.activations(activations))
        listed = found.activations
    if output == "json":
        document = {**msgspec.to_builtins(status), "activations": msgspec.to_builtins(listed)}
        click.echo(msgspec.json.format(msgspec.json.encode(document)).decode())
    else:
        click.echo("\n".join(_page(status, listed, datetime.now(UTC))))
    if status.troubles or not status.serving:
        raise click.exceptions.Exit(_AMISS)


def _several(daemons: list[fleet.Daemon], output: str) -> None:
    if output == "json":
        text = msgspec.json.encode(fleet.document(daemons))
        click.echo(msgspec.json.format(text).decode())
    else:
        click.echo("\n".join(fleet.page(daemons, datetime.now(UTC))))
    if not fleet.agree(daemons):
        raise click.exceptions.Exit(_AMISS)


def _page(
    status: Status, activations: tuple[ActivationRecord, ...], now: datetime
) -> Iterator[str]:
    state = mark("serving", "green") if status.serving else mark("not serving", "red")
    why = f": {status.not_serving_because}" if status.not_serving_because else ""
    yield f"policyd {printable(status.version)}  {state}{printable(why)}"
    yield ""
    yield from rows("policies", _policies(status.policies, now))
    yield from rows("issuers", [_issuer(one, now) for one in status.issuers])
    yield from rows(
        "revoked", [f"{one.entries} by {one.source}" for one in status.revocations] or ["nothing"]
    )
    yield from rows("tokens", [f"{status.cached_tokens} remembered"])
    log = "writable" if status.log_writable else "not writable"
    waiting = f"{status.log_waiting} waiting, {status.log_dropped} dropped"
    yield from rows("log", [f"{log}, {waiting}", *map(_sink, status.sinks)])
    yield from rows("amiss", list(status.troubles) or ["nothing"])
    if activations:
        yield ""
        for one in activations:
            yield printable(_activation(one))


def _policies(policies: PolicyStatus, now: datetime) -> Iterator[str]:
    yield from origin(policies, now)
    yield f"revision {policies.revision[:12] or '-'}, {plural(policies.rules, 'rule')}"
    if policies.loaded_at is not None:
        yield f"in service for {age(policies.loaded_at, now)}"
    if policies.heard_at is not None:
        yield f"source heard of {age(policies.heard_at, now)} ago"


def _issuer(issuer: object, now: datetime) -> str:
    from policyd.server.wire.admin import IssuerStatus

    assert isinstance(issuer, IssuerStatus)
    fetched = (
        "never fetched"
        if issuer.fetched_at is None
        else f"fetched {age(issuer.fetched_at, now)} ago"
    )
    return f"{issuer.issuer}  {plural(issuer.keys, 'key')}, {fetched}"


def _sink(sink: SinkStatus) -> str:
    said = f"{sink.name}  {sink.delivered:,} delivered, {sink.waiting:,} waiting"
    if sink.parked:
        said += f", {sink.parked:,} parked"
    return f"{said}, {sink.missing:,} missing" if sink.missing else said


def _activation(record: ActivationRecord) -> str:
    where = record.provenance
    what = where.label or where.commit[:12] or record.revision[:12] or where.place
    line = f"{record.time:%Y-%m-%d %H:%M:%S}Z  {record.outcome:9}  {what}"
    if record.outcome == "activated":
        line += f"  +{record.rules_added} -{record.rules_removed} ~{record.rules_changed} rules"
    if record.asked_by:
        line += f"  asked by {record.asked_by}"
    if record.problem:
        line += f"  at {record.step}: {record.problem}"
    return line
