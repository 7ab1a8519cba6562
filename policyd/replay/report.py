"""Reports the results of a replay as text and JSON. `html` renders them as a page."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

import msgspec

from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.terminal import printable
from policyd.json_types import Json
from policyd.replay.tally import SUBJECTS, Difference, Doubt, Group, Tally

_BARS: Final = "▁▂▃▄▅▆▇█"
_WIDTH: Final = 48
_SHOWN: Final = 50


class Report(msgspec.Struct, frozen=True):
    """`new` and `old` are the names of the policies, `old` that of the baseline if there is one."""

    new: str
    old: str | None
    tally: Tally

    @property
    def summary(self) -> str:
        """Return the result in one line."""
        tally = self.tally
        if not tally.decided:
            return "no decision in the log could be decided again"
        records = "1 decision" if tally.decided == 1 else f"{tally.decided:,} decisions"
        found = "none differs" if not tally.differs else f"{tally.differs:,} differ"
        doubt = f", of {tally.doubtful:,} nobody can tell" if tally.doubtful else ""
        return f"{records} decided again by {self.new}: {found}{doubt}"

    @property
    def differences(self) -> list[tuple[Difference, Group]]:
        """The groups of different decisions, the largest first."""
        found = self.tally.differences.items()
        return sorted(found, key=lambda one: (-one[1].count, msgspec.structs.astuple(one[0])))

    @property
    def doubts(self) -> list[tuple[Doubt, Group]]:
        """The groups of uncertain verdicts, the largest first."""
        found = self.tally.doubts.items()
        return sorted(found, key=lambda one: (-one[1].count, msgspec.structs.astuple(one[0])))

    @property
    def period(self) -> str:
        """The period of the decisions; empty if there are none."""
        if self.tally.first is None or self.tally.last is None:
            return ""
        return f"{moment(self.tally.first)} to {moment(self.tally.last)}"

    def remarks(self) -> Iterator[str]:
        """Yield remarks about lines that were not decided again, and about the others."""
        tally = self.tally
        if tally.left_out:
            yield f"{tally.left_out:,} left out by --since or --api"
        if tally.partial:
            yield f"{tally.partial:,} answers to questions with unknown facts: not decided again"
        if tally.shadows:
            yield f"{tally.shadows:,} records of shadow policies, which repeat decisions"
        if tally.gaps:
            yield f"{tally.gaps:,} gaps, where {tally.dropped:,} records are missing"
        if tally.beyond:
            yield f"{tally.beyond:,} are in none of the groups shown: there are too many kinds"
        if tally.elsewhere:
            yield (
                f"{tally.elsewhere:,} are of revisions whose policies are not at hand: their names "
                "are taken to mean what they mean now, and what they lack may not have been "
                "declared. --baseline names the policies of then"
            )


def moment(time: float) -> str:
    """Return seconds since the epoch as RFC 3339 text."""
    return f"{datetime.fromtimestamp(time, UTC):%Y-%m-%dT%H:%M:%SZ}"


def subjects(group: Group) -> str:
    """Return the number of subjects of a group, in words."""
    number = len(group.subjects)
    if not number:
        return "no subject named"
    said = "1 subject" if number == 1 else f"{number:,} subjects"
    return f"at least {said}" if number >= SUBJECTS else said


def by(rules: Sequence[str]) -> str:
    """Return `by RULE, RULE`, or nothing."""
    return f" by {', '.join(rules)}" if rules else ""


def why(doubt: Doubt) -> list[str]:
    """Return the facts on which it depends, a line each."""
    return [f"{fact}: {cause}" for fact, cause in doubt.causes]


def replay_text(report: Report) -> str:
    """Return the report for a terminal."""
    return "".join(f"{printable(line)}\n" for line in _lines(report))


def _lines(report: Report) -> Iterator[str]:
    yield report.summary
    if report.period:
        yield f"{report.period}"
    heading = ""
    for difference, group in report.differences[:_SHOWN]:
        where = f"{difference.api}: {difference.action} on {difference.resource_type}"
        if where != heading:
            yield ""
            yield where
            heading = where
        yield (
            f"  {group.count:,} × {difference.before}{by(difference.rules_before)} before, "
            f"{difference.after}{by(difference.rules_after)} now"
        )
        yield from _about(group, report)
    if len(report.differences) > _SHOWN:
        yield f"  and {len(report.differences) - _SHOWN} kinds more: --format json has all"
    if report.doubts:
        yield ""
        yield "Nobody can tell:"
    for doubt, group in report.doubts[:_SHOWN]:
        yield f"  {group.count:,} × {doubt.api}: {doubt.action} on {doubt.resource_type}"
        yield from (f"      depends on {line}" for line in why(doubt))
        yield from _about(group, report)
    if len(report.doubts) > _SHOWN:
        yield f"  and {len(report.doubts) - _SHOWN} kinds more: --format json has all"
    remarks = list(report.remarks())
    faults = report.tally.faults.text()
    if remarks or faults:
        yield ""
        yield from remarks
    if faults:
        yield "Unusable lines:"
        yield from (f"  {line}" for line in faults)


def _about(group: Group, report: Report) -> Iterator[str]:
    example = group.example
    when = moment(group.first)
    if group.last != group.first:
        when += f" to {moment(group.last)}"
    yield f"      {when}, {subjects(group)}"
    bars = _bars(group, report)
    if bars:
        yield f"      {bars}"
    yield f"      for example {example.decision_id} in {example.place}"


def _bars(group: Group, report: Report) -> str:
    """Draw the counts over the time of the log; empty for a single step."""
    first, last = report.tally.first, report.tally.last
    assert first is not None and last is not None, "a group has records"
    series = group.times.series(first, last)
    if len(series) < 2:
        return ""
    size = -(-len(series) // _WIDTH)
    sums = [sum(series[at : at + size]) for at in range(0, len(series), size)]
    most = max(sums)
    return "".join(" " if not one else _BARS[(one * (len(_BARS) - 1)) // most] for one in sums)


def replay_json(report: Report) -> bytes:
    """Return the report as one JSON object."""
    tally = report.tally
    document: dict[str, Json] = {
        "summary": report.summary,
        "new": report.new,
        "baseline": report.old,
        "first": None if tally.first is None else moment(tally.first),
        "last": None if tally.last is None else moment(tally.last),
        "lines": tally.lines,
        "decided": tally.decided,
        "same": tally.same,
        "differs": tally.differs,
        "cannot_tell": tally.doubtful,
        "left_out": tally.left_out,
        "partial": tally.partial,
        "shadow": tally.shadows,
        "gaps": tally.gaps,
        "dropped": tally.dropped,
        "policies_not_at_hand": tally.elsewhere,
        "beyond": tally.beyond,
        "differences": [
            {
                "api": one.api,
                "action": one.action,
                "resource_type": one.resource_type,
                "before": one.before,
                "reason": one.reason,
                "rules_before": list(one.rules_before),
                "after": one.after,
                "rules_after": list(one.rules_after),
                **_group(group),
            }
            for one, group in report.differences
        ],
        "doubts": [
            {
                "api": one.api,
                "action": one.action,
                "resource_type": one.resource_type,
                "causes": [{"fact": fact, "why": cause} for fact, cause in one.causes],
                **_group(group),
            }
            for one, group in report.doubts
        ],
        "unusable": tally.faults.as_json(),
    }
    return encode_json(document)


def _group(group: Group) -> Mapping[str, Json]:
    example = group.example
    return {
        "count": group.count,
        "first": moment(group.first),
        "last": moment(group.last),
        "subjects": len(group.subjects),
        "subjects_are_all": len(group.subjects) < SUBJECTS,
        "without_subject": group.unnamed,
        "example": {
            "decision_id": example.decision_id,
            "time": moment(example.time),
            "file": example.place.file,
            "line": example.place.line,
        },
    }
