"""A report of what a change does, as text, JSON and Markdown."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json
from policyd.tooling.difference import SAID, Change, PlanChanges, Report

#: From how many changes on Markdown is folded: a comment on a pull request is to be read.
_FOLDED = 10


def difference_text(report: Report) -> str:
    """Return the report for a terminal."""
    return "".join(f"{printable(line)}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield report.summary
    for plan in report.plans:
        yield ""
        yield f"{plan.api}: {plan.action} on {plan.resource}"
        if plan.undecided:
            yield "  undecided: the solver gave up"
        for change in plan.changes:
            yield f"  {headline(change)}"
            yield from (f"      {line}" for line in change.statements)
            yield from (f"      ({line})" for line in remarks(change))
    if report.structure:
        yield ""
    for one in report.structure:
        yield one.sentence
        yield from (f"      {line}" for line in one.lines)
    yield ""
    yield f"holds for {report.configuration}"


def headline(change: Change) -> str:
    """Say in one line what changes."""
    said = f"{change.direction}: " if change.direction != "other" else ""
    return (
        f"{said}{SAID[change.before]}{_by(change.rules_before)} before, "
        f"{SAID[change.after]}{_by(change.rules_after)} now"
    )


def _by(rules: tuple[str, ...]) -> str:
    return f" by {', '.join(rules)}" if rules else ""


def remarks(change: Change) -> Iterator[str]:
    """Say what is to be known of a witness."""
    yield from change.unsaid
    if not change.confirmed:
        yield "not confirmed: the evaluators answer in another way"
    lacking = [dialect for dialect, survives in change.minted.items() if not survives]
    if lacking:
        yield f"no token of {', '.join(lacking)} is answered so: such an issuer never writes it"


def difference_json(report: Report) -> bytes:
    """Return the report as one JSON object."""
    document: Json = msgspec.json.decode(msgspec.json.encode(report))
    assert isinstance(document, dict), "a report is an object"
    counts: dict[str, Json] = {
        "summary": report.summary,
        "gains": report.number("gains"),
        "loses": report.number("loses"),
        "mistakes": report.mistakes,
        "undecided": report.undecided,
        "declared": list(report.declared),
    }
    return encode_json({**counts, **document})


def difference_markdown(report: Report) -> str:
    """Return the report as a comment on a pull request, folded where it is long."""
    number = sum(len(plan.changes) for plan in report.plans)
    lines = [f"### Policies: {report.summary}", ""]
    body = list(_markdown(report))
    if number > _FOLDED:
        body = ["<details><summary>What changes</summary>", "", *body, "", "</details>"]
    lines += body
    lines += [
        "",
        f"<sub>Proven for all tokens and requests; holds for {report.configuration}.</sub>",
    ]
    return "\n".join(lines) + "\n"


def _markdown(report: Report) -> Iterator[str]:
    for plan in report.plans:
        yield f"**{_code(plan.action)} on {_code(plan.resource)}** ({_code(plan.api)})"
        yield ""
        yield from _changes(plan)
    for one in report.structure:
        yield f"- {one.sentence}"
        if one.lines:
            yield from ("", "  ```diff", *(f"  {line}" for line in one.lines), "  ```", "")


def _changes(plan: PlanChanges) -> Iterator[str]:
    if plan.undecided:
        yield "- undecided: the solver gave up"
    for change in plan.changes:
        yield f"- {headline(change)}"
        yield ""
        yield "  ```policy"
        yield from (f"  {line}" for line in change.statements)
        yield "  ```"
        yield from (f"  {line}" for line in remarks(change))
        yield ""


def _code(name: str) -> str:
    return f"`{name}`".replace("\n", " ")
