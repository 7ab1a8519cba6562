"""Blast radius as text and JSON."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence

from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.prover.wording import moment
from policyd.tokens.model import VerifiedToken
from policyd.tooling.blast import Can, Example, TokenCan, WhoCan

#: Ways that are shown of an action that depends on its request.
_SHOWN = 4
_SAID = {"depends": "depends on", "undecided": "undecided: the solver gave up"}


def who_can_text(reports: Sequence[WhoCan], *, examples: bool) -> str:
    """Return the ways in which an action is allowed, for a terminal."""
    return _text(line for report in reports for line in _who_can(report, examples=examples))


def who_can_json(reports: Sequence[WhoCan]) -> bytes:
    """Return the same as one JSON array."""
    return encode_json(reports)


def what_can_text(
    reports: Sequence[TokenCan], token: VerifiedToken | None, now: int, *, examples: bool
) -> str:
    """Return what a token can do, for a terminal."""
    return _text(_what_can(reports, token, now, examples=examples))


def what_can_json(reports: Sequence[TokenCan], now: int) -> bytes:
    """Return the same as one JSON object."""
    return encode_json({"at": moment(now), "apis": reports})


def _text(lines: Iterable[str]) -> str:
    return "".join(f"{printable(line)}\n" for line in lines)


def _who_can(report: WhoCan, *, examples: bool) -> Iterator[str]:
    number = len(report.ways)
    ways = "nobody can" if not number else "1 way" if number == 1 else f"{number} ways"
    yield f"{report.api}: {report.action} on {report.resource}: {ways}"
    for place, way in enumerate(report.ways, 1):
        yield ""
        yield f"  {place}. by {', '.join(way.rules)}"
        yield from (f"     {line}" for line in way.conditions or ("any token for this API",))
        yield from (f"     ({line})" for line in _remarks(way.example, way.minted))
        if examples:
            yield ""
            yield from (f"       {line}" for line in way.example.statements)
    yield ""
    if report.complete:
        said = "these are all" if report.ways else "proven"
        yield f"{said}, for all tokens and requests; holds for {report.configuration}"
    else:
        yield f"stopped here: there may be more; holds for {report.configuration}"


def _remarks(example: Example, minted: dict[str, bool]) -> Iterator[str]:
    if not example.confirmed:
        yield "not confirmed: the evaluators answer its example in another way"
    lacking = [dialect for dialect, survives in minted.items() if not survives]
    if lacking:
        yield f"no token of {', '.join(lacking)} goes this way as the example does"


def _what_can(
    reports: Sequence[TokenCan], token: VerifiedToken | None, now: int, *, examples: bool
) -> Iterator[str]:
    if token is not None:
        yield _subject(token)
    yield f"at {moment(now)}"
    for report in reports:
        yield ""
        if report.refused:
            yield f"{report.api}: nothing, the token is refused: {report.refused}"
            continue
        yield report.api
        width = max((len(one.action) for one in report.actions), default=0)
        resource = ""
        for one in report.actions:
            if one.resource != resource:
                resource = one.resource
                yield f"  {resource}"
            said = _SAID.get(one.outcome, one.outcome)
            line = f"    {one.action:<{width}}  {said} {', '.join(one.depends_on)}"
            yield line.rstrip()
            yield from (f"    {'':<{width}}    {line}" for line in _below(one, examples=examples))


def _subject(token: VerifiedToken) -> str:
    said = [f"subject {token.subject}"] if token.subject else []
    said += [f"client {token.client}"] if token.client else []
    said += [f"scopes {' '.join(sorted(token.scopes))}"] if token.scopes else ["no scopes"]
    return ", ".join(said)


def _below(one: Can, *, examples: bool) -> Iterator[str]:
    """Say more of an action in lines below it."""
    for way in one.ways[:_SHOWN]:
        yield f"if {' and '.join(way)}"
    left = len(one.ways) - _SHOWN
    if left > 0:
        more = "" if one.complete else ", or more"
        yield f"or in {left} other {'way' if left == 1 else 'ways'}{more}"
    elif not one.complete:
        yield "or in other ways: the search stopped"
    if not one.confirmed:
        yield "(not confirmed: the evaluators answer its example in another way)"
    if examples:
        for example in (one.allowed, one.denied):
            yield from example.statements[-1:] if example is not None else ()
