"""`policyd routes`: the table from HTTP requests to actions, and where one request leads."""

from __future__ import annotations

from pathlib import Path

import click

from policyd.cli.examples import examples
from policyd.cli.input import FOLLOW_OUTSIDE, PATH
from policyd.cli.nearest import policy_paths
from policyd.cli.output import TEXT_OR_JSON, findings, format_option, note, plural, warn
from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.language.policy import Api, Route
from policyd.program.router import Matched, PathRefused, Router
from policyd.tooling.files import Wanted
from policyd.tooling.policies import load_policies

_HEADINGS = ("API", "METHOD", "PATH", "ACTION", "RESOURCE")


@click.command(
    epilog=examples(
        "policyd routes policies",
        "policyd routes policies --request GET /patients/7",
    )
)
@click.argument("paths", nargs=-1, type=PATH, metavar="[PATH…]")
@click.option(
    "--request",
    nargs=2,
    metavar="METHOD PATH",
    help="Show the action and resource of this request, as in --request GET /patients/7.",
)
@FOLLOW_OUTSIDE
@format_option(type=TEXT_OR_JSON)
def command(
    paths: tuple[Path, ...], request: tuple[str, str] | None, follow_outside: bool, output: str
) -> None:
    """Print the table from HTTP requests to actions.

    PATH is a policy file, or a directory with all policy files below it. The default is the
    directory of the nearest policyd.toml.

    Exits with 1 if the policies have an error, or if no route matches the request.
    """
    paths, follow_outside = policy_paths(paths, follow_outside=follow_outside)
    loaded = load_policies(paths, Wanted.POLICIES, follow_outside=follow_outside)
    if loaded.policies is None:
        click.echo(findings(loaded.diagnostics, output), nl=False)
        raise click.exceptions.Exit(1)
    warn(loaded.diagnostics)
    apis = loaded.policies.apis.values()
    if request is not None:
        found = [_lead(api, *request) for api in apis]
        _print([line for line in found if line is not None], output)
        if not any(found):
            upper = request[0].upper()
            meant = f"; methods are upper-case: {upper}" if upper != request[0] else ""
            note(f"no route fits {request[0]} {request[1]}{meant}")
            raise click.exceptions.Exit(1)
        return
    lines = [_line(api, route) for api in apis for route in api.routes]
    _print(lines, output)
    note(f"{loaded.summary}: {plural(len(lines), 'route')}")


_Line = dict[str, object]


def _line(api: Api, route: Route) -> _Line:
    return {
        "api": api.name,
        "method": route.method,
        "path": route.template,
        "action": route.action,
        "resource": route.resource,
    }


def _lead(api: Api, method: str, target: str) -> _Line | None:
    try:
        matched = Router(api.routes).match(method, target)
    except PathRefused as refused:
        raise click.UsageError(f"{target}: {refused}") from None
    if matched is None:
        return None
    return {**_line(api, matched.route), **_filled(matched)}


def _filled(matched: Matched) -> _Line:
    return {"id": matched.resource_id, "attributes": dict(matched.attributes)}


def _print(lines: list[_Line], output: str) -> None:
    if output == "json":
        click.echo(encode_json({"routes": lines}, indent=2).decode())
        return
    rows = [_HEADINGS, *(tuple(str(line[name.lower()]) for name in _HEADINGS) for line in lines)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(_HEADINGS))]
    for row in rows if lines else ():
        cells = (f"{cell:<{width}}" for cell, width in zip(row, widths, strict=True))
        click.echo("  ".join(cells).rstrip())
    for line in lines:
        for name, value in _values(line):
            click.echo(f"    {printable(name)} = {value}")


def _values(line: _Line) -> list[tuple[str, str]]:
    """What a request fills, as a policy names it."""
    if "id" not in line:
        return []
    attributes = line["attributes"]
    assert isinstance(attributes, dict)
    values = {"id": line["id"], **attributes} if line["id"] else attributes
    return [(f"resource.{name}", encode_json(value).decode()) for name, value in values.items()]
