"""`policyd status`: what a running daemon serves, and what is amiss."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from policyd.cli.examples import examples
from policyd.cli.operating import AUTHORITIES, CERTIFICATE, KEY, TARGET, TIMEOUT, ask
from policyd.cli.output import TEXT_OR_JSON, format_option, has_colours, plural
from policyd.diagnostics.terminal import printable

if TYPE_CHECKING:
    from policyd.server.wire.admin import ActivationRecord, PolicyStatus, Status

_AMISS = 1
_STEPS = ((86_400, "day"), (3600, "hour"), (60, "minute"), (1, "second"))


@click.command(
    epilog=examples(
        "policyd status",
        "policyd status --activations 10",
        "policyd status --reload",
        "policyd status --target unix:/run/policyd/admin.sock --format json",
    )
)
@TARGET
@AUTHORITIES
@CERTIFICATE
@KEY
@TIMEOUT
@click.option(
    "--activations",
    type=click.IntRange(0, 1000),
    default=0,
    metavar="N",
    help="Show what became of the newest N policy sets, too.",
)
@click.option("--reload", is_flag=True, help="Let it look for changed policies first.")
@format_option(type=TEXT_OR_JSON)
def command(
    target: str | None,
    authorities: Path | None,
    client_certificate: Path | None,
    client_key: Path | None,
    timeout: float,
    activations: int,
    reload: bool,
    output: str,
) -> None:
    """Show what a running daemon serves, and what is amiss.

    Exits with 1 if it does not serve, or if anything is amiss.
    """
    files = (authorities, client_certificate, client_key)
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


def _page(
    status: Status, activations: tuple[ActivationRecord, ...], now: datetime
) -> Iterator[str]:
    state = _mark("serving", "green") if status.serving else _mark("not serving", "red")
    why = f": {status.not_serving_because}" if status.not_serving_because else ""
    yield f"policyd {printable(status.version)}  {state}{printable(why)}"
    yield ""
    yield from _rows("policies", _policies(status.policies, now))
    yield from _rows("issuers", [_issuer(one, now) for one in status.issuers])
    yield from _rows(
        "revoked", [f"{one.entries} by {one.source}" for one in status.revocations] or ["nothing"]
    )
    yield from _rows("tokens", [f"{status.cached_tokens} remembered"])
    log = "writable" if status.log_writable else "not writable"
    waiting = f"{status.log_waiting} waiting, {status.log_dropped} dropped"
    yield from _rows("log", [f"{log}, {waiting}"])
    yield from _rows("amiss", list(status.troubles) or ["nothing"])
    if activations:
        yield ""
        for one in activations:
            yield printable(_activation(one))


def _policies(policies: PolicyStatus, now: datetime) -> Iterator[str]:
    where = policies.provenance
    if where.commit:
        yield f"commit {where.commit[:12]} of {where.ref}, {where.place}"
        if where.signer:
            yield f"signed by {where.signer}"
    elif where.place:
        yield where.place
    yield f"revision {policies.revision[:12] or '-'}, {plural(policies.rules, 'rule')}"
    if policies.loaded_at is not None:
        yield f"in service for {_age(policies.loaded_at, now)}"
    if policies.heard_at is not None:
        yield f"source heard of {_age(policies.heard_at, now)} ago"


def _issuer(issuer: object, now: datetime) -> str:
    from policyd.server.wire.admin import IssuerStatus

    assert isinstance(issuer, IssuerStatus)
    fetched = (
        "never fetched"
        if issuer.fetched_at is None
        else f"fetched {_age(issuer.fetched_at, now)} ago"
    )
    return f"{issuer.issuer}  {plural(issuer.keys, 'key')}, {fetched}"


def _activation(record: ActivationRecord) -> str:
    what = record.provenance.commit[:12] or record.revision[:12] or record.provenance.place
    line = f"{record.time:%Y-%m-%d %H:%M:%S}Z  {record.outcome:9}  {what}"
    if record.outcome == "activated":
        line += f"  +{record.rules_added} -{record.rules_removed} ~{record.rules_changed} rules"
    if record.asked_by:
        line += f"  asked by {record.asked_by}"
    if record.problem:
        line += f"  at {record.step}: {record.problem}"
    return line


def _rows(name: str, lines: Iterator[str] | list[str]) -> Iterator[str]:
    for number, line in enumerate(lines):
        yield f"{'' if number else name:10}{printable(line)}"


def _mark(text: str, colour: str) -> str:
    return click.style(text, fg=colour, bold=True) if has_colours() else text


def _age(moment: datetime, now: datetime) -> str:
    """Return a span in its largest unit: `3 minutes`."""
    seconds = max(0, int((now - moment).total_seconds()))
    for size, unit in _STEPS:
        if seconds >= size:
            return plural(seconds // size, unit)
    return "0 seconds"
