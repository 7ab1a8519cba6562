"""Statistics of a decision log as one HTML page."""

from __future__ import annotations

from collections.abc import Iterable

from policyd.diagnostics.page import page, picture, shown
from policyd.tooling.stats.report import Answers, Report, about

_STYLE = """
main { display: grid; grid-template-columns: repeat(auto-fit, minmax(26rem, 1fr)); gap: 0 2.5rem; }
section.wide { grid-column: 1 / -1; }
table { border-collapse: collapse; width: 100%; }
td { padding: .25rem .75rem .25rem 0; border-bottom: 1px solid var(--line); }
td.number { text-align: right; font-variant-numeric: tabular-nums; white-space: nowrap;
  padding-right: 0; padding-left: .75rem; }
td small { color: var(--quiet); }
td.bar { width: 40%; } td.bar div { display: flex; height: 10px; border-radius: 5px;
  overflow: hidden; background: var(--panel); }
i.allow { background: var(--allow); } i.deny { background: var(--deny); }
.tiles { display: flex; flex-wrap: wrap; gap: 1rem; margin: 1.25rem 0 0; }
.tile { border: 1px solid var(--line); border-radius: 6px; padding: .6rem 1rem; min-width: 9rem;
  background: var(--panel); }
.tile b { display: block; font-size: 1.4rem; font-variant-numeric: tabular-nums; }
.tile.allow b { color: var(--allow); } .tile.deny b { color: var(--deny); }
.time { display: block; width: 100%; height: 56px; border-bottom: 1px solid var(--line); }
.time.allow rect { fill: var(--allow); } .time.deny rect { fill: var(--deny); }
"""


def stats_html(report: Report) -> str:
    """Return the page."""
    figures = report.figures
    idle = report.idle()
    sections = (
        _over_time(report),
        _section("Questions", _questions(report.questions()), wide=True),
        _rows("Refusals by reason", ((f"{api}: {one}", n) for api, one, n in report.reasons())),
        _rows(
            "Scopes that were missing",
            ((f"{api}: {scope}", n) for (api, scope), n in sorted(figures.missing.items())),
        ),
        _rows("Rules that decided", ((f"{api}: {one}", n) for api, one, n in report.decided())),
        _rows(
            "Rules that never decided, and how often their actions were asked for",
            ((f"{one.api}: {one.effect} {one.rule}", one.asked) for one in idle),
        ),
        _rows(
            "Scopes that clients had and nothing they were allowed needed",
            (
                (f"{one.api}: {one.client}: {scope}", number)
                for one in report.spare()
                for scope, number in one.scopes
            ),
        ),
        _rows(
            "Subjects refused most",
            ((f"{name} ({issuer})", n) for issuer, name, n in about(figures.subjects)),
        ),
        _rows(
            "Clients refused most",
            ((f"{name} ({issuer})", n) for issuer, name, n in about(figures.applications)),
        ),
    )
    told = [*report.remarks(), *figures.faults.text()]
    remarks = "".join(f"<li>{shown(line)}</li>\n" for line in told)
    beside = f"<h2>Beside that</h2>\n<ul>\n{remarks}</ul>\n" if remarks else ""
    body = (
        f"<h1>{shown(report.summary)}</h1>\n<p>{shown(report.period)}</p>\n"
        f"{_tiles(report)}<main>\n{''.join(sections)}</main>\n{beside}"
    )
    return page(f"Decisions: {report.summary}", _STYLE, body)


def _tiles(report: Report) -> str:
    each = report.questions().values()
    tiles = [
        ("allow", "allowed", f"{sum(one.allowed for one in each):,}"),
        ("deny", "denied", f"{sum(one.denied for one in each):,}"),
        *(("", f"{name} within", f"{value:,} µs") for name, value in report.latencies()),
    ]
    return (
        '<div class="tiles">'
        + "".join(
            f'<div class="tile {kind}"><b>{value}</b>{shown(said)}</div>'
            for kind, said, value in tiles
        )
        + "</div>\n"
    )


def _over_time(report: Report) -> str:
    figures = report.figures
    if figures.first is None or figures.last is None:
        return ""
    drawn = ""
    for kind, said, times in (
        ("allow", "allowed", figures.allowed),
        ("deny", "denied", figures.denied),
    ):
        series = times.series(figures.first, figures.last)
        label = f"{said}; at most {max(series):,} in {times.width // 60:,} minutes"
        bars = picture(series, label).replace('class="time"', f'class="time {kind}"')
        drawn += f"<p>{shown(label)}</p>\n{bars}" if bars else ""
    return _section("Over time", drawn, wide=True) if drawn else ""


def _questions(questions: dict[tuple[str, str, str], Answers]) -> str:
    rows = "".join(
        f"<tr><td><code>{shown(f'{api}: {action} on {resource}')}</code></td>"
        f'<td class="bar"><div><i class="allow" style="flex:{one.allowed}"></i>'
        f'<i class="deny" style="flex:{one.denied}"></i></div></td>'
        f'<td class="number">{one.allowed:,} allowed</td>'
        f'<td class="number">{one.denied:,} denied</td></tr>\n'
        for (api, action, resource), one in questions.items()
    )
    return f"<table>\n{rows}</table>\n" if rows else ""


def _rows(title: str, rows: Iterable[tuple[str, int | str]]) -> str:
    listed = "".join(
        f"<tr><td><code>{shown(name)}</code></td>"
        f'<td class="number">{number if isinstance(number, str) else f"{number:,}"}</td></tr>\n'
        for name, number in rows
    )
    return _section(title, f"<table>\n{listed}</table>\n") if listed else ""


def _section(title: str, body: str, *, wide: bool = False) -> str:
    if not body:
        return ""
    kind = ' class="wide"' if wide else ""
    return f"<section{kind}><h2>{shown(title)}</h2>\n{body}</section>\n"
