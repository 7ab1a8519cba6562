"""A replay as one HTML page: each kind of difference, with its rules and a picture over time."""

from __future__ import annotations

from policyd.diagnostics.page import page, picture, shown
from policyd.replay.report import Report, moment, subjects, why
from policyd.replay.tally import Difference, Doubt, Group

_STYLE = """
.shares { display: flex; height: 12px; border-radius: 6px; overflow: hidden; margin: 1rem 0 .4rem;
  background: var(--allow); }
.shares .differs { background: var(--deny); } .shares .doubt { background: var(--other); }
.group { border: 1px solid var(--line); border-radius: 6px; margin: 0 0 1rem; overflow: hidden; }
.head { display: flex; justify-content: space-between; gap: 1rem; padding: .5rem 1rem;
  background: var(--panel); border-bottom: 1px solid var(--line); }
.head b { font-variant-numeric: tabular-nums; white-space: nowrap; }
.sides { display: grid; grid-template-columns: 1fr 1fr; }
.side { padding: .6rem 1rem; background: var(--other-ground); }
.side b { color: var(--other); } .side + .side { border-left: 1px solid var(--line); }
.side small { color: var(--quiet); display: block; }
.side.allowed { background: var(--allow-ground); } .side.allowed b { color: var(--allow); }
.side.denied { background: var(--deny-ground); } .side.denied b { color: var(--deny); }
.about { padding: .5rem 1rem; border-top: 1px solid var(--line); color: var(--quiet); }
.time { display: block; width: 100%; height: 40px; padding: .4rem 1rem 0; }
.time rect { fill: var(--bar); }
"""


def replay_html(report: Report) -> str:
    """Return the page."""
    differences = "".join(_difference(report, *one) for one in report.differences)
    doubts = "".join(_doubt(report, *one) for one in report.doubts)
    told = [*report.remarks(), *report.tally.faults.text()]
    remarks = "".join(f"<li>{shown(line)}</li>\n" for line in told)
    body = (
        f"<h1>{shown(report.summary)}</h1>\n<p>{shown(_compared(report))}</p>\n"
        f"{_shares(report)}"
        + (f"<h2>What differs</h2>\n{differences}" if differences else "")
        + (f"<h2>What nobody can tell</h2>\n{doubts}" if doubts else "")
        + (f"<h2>Beside that</h2>\n<ul>\n{remarks}</ul>\n" if remarks else "")
    )
    return page(f"Replay: {report.summary}", _STYLE, body)


def _compared(report: Report) -> str:
    against = "what was answered then" if report.old is None else f"what {report.old} decides"
    period = f" {report.period}." if report.period else ""
    return f"Compared with {against}.{period}"


def _shares(report: Report) -> str:
    tally = report.tally
    if not tally.decided:
        return ""
    parts = (("same", tally.same), ("differs", tally.differs), ("doubt", tally.doubtful))
    bars = "".join(f'<i class="{kind}" style="flex:{number}"></i>' for kind, number in parts)
    return (
        f'<div class="shares">{bars}</div>\n<p>{tally.same:,} the same, {tally.differs:,} differ, '
        f"{tally.doubtful:,} that nobody can tell</p>\n"
    )


def _difference(report: Report, one: Difference, group: Group) -> str:
    where = f"{one.api}: {one.action} on {one.resource_type}"
    sides = _side("before", one.before, one.rules_before) + _side("now", one.after, one.rules_after)
    return _group(report, where, f'<div class="sides">{sides}</div>\n', group)


def _doubt(report: Report, one: Doubt, group: Group) -> str:
    where = f"{one.api}: {one.action} on {one.resource_type}"
    causes = "<br>".join(f"depends on {shown(line)}" for line in why(one))
    return _group(report, where, f'<div class="side">{causes}</div>\n', group)


def _group(report: Report, where: str, body: str, group: Group) -> str:
    example = group.example
    when = moment(group.first)
    if group.last != group.first:
        when += f" to {moment(group.last)}"
    about = f"{when}, {subjects(group)}. For example {example.decision_id} in {example.place}."
    return (
        f'<div class="group"><div class="head"><code>{shown(where)}</code>'
        f"<b>{group.count:,}</b></div>\n{body}{_picture(report, group)}"
        f'<div class="about">{shown(about)}</div></div>\n'
    )


def _side(when: str, said: str, rules: tuple[str, ...]) -> str:
    by = f" by {', '.join(rules)}" if rules else ""
    kind = said if said in ("allowed", "denied") else "other"
    return f'<div class="side {kind}"><small>{when}</small><b>{shown(said)}</b>{shown(by)}</div>'


def _picture(report: Report, group: Group) -> str:
    """Draw the counts over the time of the log."""
    first, last = report.tally.first, report.tally.last
    if first is None or last is None:
        return ""
    series = group.times.series(first, last)
    label = f"over time; at most {max(series):,} in {group.times.width // 60:,} minutes"
    return picture(series, label)
