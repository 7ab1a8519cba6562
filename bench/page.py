"""Brings figures into the pages that show some, so that what they show is what was measured.

`python -m bench.page [RESULTS.json ...]` replaces docs/performance/results.json by these runs, then
writes from it the tables between the pages' markers, and the plots beside it. Without arguments the
runs stay what they are.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

import msgspec

from bench import plots
from bench.material import ROOT
from bench.report import Curve, Results, Row, read

PAGE = ROOT / "docs" / "performance.md"
FOLDER = ROOT / "docs" / "performance"
RESULTS = FOLDER / "results.json"
STAGES, ALONE = "stages", "alone"
#: The tables of each page.
PAGES: Mapping[Path, tuple[str, ...]] = {
    PAGE: ("runs", "targets", "stages", "figures"),
    ROOT / "ARCHITECTURE.md": ("stages",),
}


def main() -> None:
    paths = [Path(argument) for argument in sys.argv[1:]]
    if paths:
        FOLDER.mkdir(parents=True, exist_ok=True)
        runs = msgspec.json.encode([read(path) for path in paths])
        RESULTS.write_bytes(msgspec.json.format(runs) + b"\n")
    found = committed()
    for page in PAGES:
        page.write_text(rendered(page, found), encoding="utf-8")
    for name, picture in pictures(found).items():
        (FOLDER / name).write_text(picture, encoding="utf-8")


def committed() -> list[Results]:
    """Return the runs that the page shows."""
    return msgspec.json.decode(RESULTS.read_bytes(), type=list[Results])


def rendered(page: Path, runs: Sequence[Results]) -> str:
    """Return the text of a page with its tables made anew."""
    sections: dict[str, Callable[[Sequence[Results]], str]] = {
        "runs": _runs,
        "targets": _targets,
        "stages": _stages,
        "figures": _figures,
    }
    text = page.read_text(encoding="utf-8")
    for name in PAGES[page]:
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, found, rest = text.partition(begin)
        _, closed, after = rest.partition(end)
        if not found or not closed:
            raise RuntimeError(f"{page.name} has no section `{name}`")
        text = f"{before}{begin}\n{sections[name](runs)}\n{end}{after}"
    return text


def pictures(runs: Sequence[Results]) -> dict[str, str]:
    """Return the plots by file name; those of curves that no run has are left out."""
    curves: dict[str, list[Curve]] = {}
    for run in runs:
        for curve in run.curves:
            curves.setdefault(curve.plot, []).append(curve)
    made: dict[str, str] = {}
    if "throughput" in curves:
        title = "Checks a second on one core, 32 in flight"
        made["throughput.svg"] = plots.bars(title, "/s", curves["throughput"])
    for plot, title in (
        ("busy", "Latency of a check, 32 in flight"),
        ("alone", "Latency of a check, one at a time"),
    ):
        if plot in curves:
            made[f"latency-{plot}.svg"] = plots.lines(
                title,
                curves[plot],
                x="% of the checks are at least as fast",
                y="ms",
                across="nines",
                up="logarithmic",
            )
    if "rules" in curves:
        title = "A check among more and more rules on one action, in process"
        made["rules.svg"] = plots.lines(
            title, curves["rules"], x="rules", y="µs", across="logarithmic", up="linear"
        )
    return made


def _runs(runs: Sequence[Results]) -> str:
    lines = []
    for run in runs:
        facts = ", ".join(f"{name} {fact}" for name, fact in run.machine.items())
        lines.append(f"- {run.date}, `{run.command}`: {facts}.")
    return "\n".join(lines) + "\n"


def _rows(runs: Sequence[Results]) -> list[Row]:
    """Return all rows; of one that several runs have, that of the first."""
    found: dict[tuple[str, str], Row] = {}
    for run in runs:
        for row in run.rows:
            found.setdefault((row.goal, row.what), row)
    return list(found.values())


def _targets(runs: Sequence[Results]) -> str:
    rows = [row for row in _rows(runs) if row.target is not None]
    lines = [
        f"| {row.goal} | {row.what} | {row.target} | {_measured(row)} | {row.verdict} |"
        for row in rows
    ]
    return _table(("goal", "what", "target", "measured", "verdict"), lines)


def _stages(runs: Sequence[Results]) -> str:
    rows = _rows(runs)
    alone = {row.what: row.measured for row in rows if row.goal == ALONE}
    lines = [
        f"| {row.what.removeprefix('event: ')} | {row.measured or '-'} "
        f"| {alone.get(row.what) or '-'} | {row.note.removeprefix('hot ') or '-'} |"
        for row in rows
        if row.goal == STAGES
    ]
    return _table(("stage", "under load", "one call alone", "in a loop"), lines)


def _figures(runs: Sequence[Results]) -> str:
    rows = [row for row in _rows(runs) if row.target is None and row.goal not in (STAGES, ALONE)]
    lines = [f"| {row.goal} | {row.what} | {_measured(row)} |" for row in rows]
    return _table(("goal", "what", "measured"), lines)


def _measured(row: Row) -> str:
    return " ".join(filter(None, [str(row.measured or ""), row.note])) or "-"


def _table(titles: Sequence[str], lines: Sequence[str]) -> str:
    head = [f"| {' | '.join(titles)} |", f"|{'---|' * len(titles)}"]
    return "\n".join([*head, *lines]) + "\n"


if __name__ == "__main__":
    main()
