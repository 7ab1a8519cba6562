"""`policyd shadow`: which checks the shadow policies would have decided differently."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import click
import msgspec

from policyd.cli.examples import examples
from policyd.cli.operating import AUTHORITIES, CERTIFICATE, KEY, TARGET, TIMEOUT, ask
from policyd.cli.output import TEXT_OR_JSON, format_option, plural
from policyd.cli.rows import age, origin, rows
from policyd.diagnostics.terminal import printable

if TYPE_CHECKING:
    from policyd.server.wire.admin import ShadowDifference, ShadowDifferences, ShadowDoubt

_DIFFERS = 1


@click.command(
    epilog=examples(
        "policyd shadow",
        "policyd shadow --limit 5 --fail-on any",
        "policyd shadow --target unix:/run/policyd/admin.sock --format json",
    )
)
@TARGET
@AUTHORITIES
@CERTIFICATE
@KEY
@TIMEOUT
@click.option(
    "--limit",
    type=click.IntRange(1, 1000),
    default=20,
    show_default=True,
    metavar="N",
    help="Show at most N groups of differences, the most frequent.",
)
@click.option(
    "--fail-on",
    type=click.Choice(["any", "doubt"]),
    help="Exit with 1 if any decision differs; with `doubt`, also if nobody can tell for one.",
)
@format_option(type=TEXT_OR_JSON)
def command(
    target: str | None,
    authorities: Path | None,
    client_certificate: Path | None,
    client_key: Path | None,
    timeout: float,
    limit: int,
    fail_on: str | None,
    output: str,
) -> None:
    """Show which checks the shadow policies of a daemon would have decided differently.

    These are the policies of `[policies.shadow]`. They also decide a sample of the checks, but no
    caller gets their answers.

    Exits with 1 if they cannot be loaded.
    """
    files = (authorities, client_certificate, client_key)
    found = ask(target, files, timeout, lambda remote: remote.shadow(limit))
    if output == "json":
        click.echo(msgspec.json.format(msgspec.json.encode(found)).decode())
    else:
        click.echo("\n".join(_page(found, datetime.now(UTC))))
    amiss = found.policies.problem or not found.policies.revision
    differs = found.different or (fail_on == "doubt" and found.uncertain)
    if amiss or (fail_on is not None and differs):
        raise click.exceptions.Exit(_DIFFERS)


def _page(found: ShadowDifferences, now: datetime) -> Iterator[str]:
    policies = found.policies
    yield from rows("shadow", _shadow(found, now))
    troubles = [policies.problem, policies.source_problem]
    yield from rows("amiss", [one for one in dict.fromkeys(troubles) if one])
    if not policies.revision:
        return
    since = "" if found.since is None else f" in {age(found.since, now)}"
    checks = plural(found.checked, "check")
    yield from rows("sample", [f"{found.sample * 100:.6g} % of all checks: {checks}{since}"])
    yield from rows("differ", [_share(found.different, found.checked)])
    if found.uncertain:
        yield from rows("open", [f"{_share(found.uncertain, found.checked)} nobody can tell"])
    if found.dropped:
        yield from rows("dropped", [f"{plural(found.dropped, 'check')} found no room"])
    yield from map(printable, _differences(found.differences, now))
    if found.doubts:
        yield ""
        yield "Nobody can tell:"
        yield from map(printable, _doubts(found.doubts))
    if found.beyond:
        yield ""
        yield f"{plural(found.beyond, 'check')} in none of these groups: there are too many kinds"


def _shadow(found: ShadowDifferences, now: datetime) -> Iterator[str]:
    policies = found.policies
    yield from origin(policies, now)
    if not policies.revision:
        yield "not in use"
    elif policies.revision == found.serving_revision:
        yield f"revision {policies.revision[:12]}, which serves too"
    else:
        rules = plural(policies.rules, "rule")
        yield f"revision {policies.revision[:12]}, {rules}; {found.serving_revision[:12]} serves"


def _share(number: int, of: int) -> str:
    return f"{number:,} ({number / of:.2%})" if number else "none"


def _differences(differences: Iterable[ShadowDifference], now: datetime) -> Iterator[str]:
    heading = ""
    for one in differences:
        where = f"{one.api}: {one.action} on {one.resource_type}"
        if where != heading:
            yield ""
            yield where
            heading = where
        yield (
            f"  {one.count:,} × {one.before}{_by(one.rules_before)}, "
            f"{one.after}{_by(one.rules_after)} in the shadow"
        )
        when = "" if one.last_at is None else f", {age(one.last_at, now)} ago"
        yield f"      the last of them {one.decision_id}{when}"


def _doubts(doubts: Iterable[ShadowDoubt]) -> Iterator[str]:
    for one in doubts:
        yield f"  {one.count:,} × {one.api}: {one.action} on {one.resource_type}"
        for fact, cause in zip(one.facts, one.causes, strict=True):
            yield f"      depends on {fact}: {cause}"
        yield f"      the last of them {one.decision_id}"


def _by(rules: tuple[str, ...]) -> str:
    return f" by {', '.join(rules)}" if rules else ""
