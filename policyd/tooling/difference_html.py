"""A report of what a change does as one HTML page: each witness beside what both sides answer.

The page needs no script, no network and no second file, and follows the reader's choice of light or
dark. What is said by colour is said in words too.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from policyd.diagnostics.terminal import printable
from policyd.tooling.difference import SAID, Change, PlanChanges, Report
from policyd.tooling.difference_text import remarks
from policyd.tooling.structure import StructuralChange

_STYLE = """
:root { color-scheme: light dark;
  --text: light-dark(#1f2328, #e6edf3); --quiet: light-dark(#59636e, #9198a1);
  --ground: light-dark(#ffffff, #0d1117); --panel: light-dark(#f6f8fa, #151b23);
  --line: light-dark(#d1d9e0, #3d444d);
  --allow: light-dark(#116329, #56d364); --allow-ground: light-dark(#dafbe1, #12361f);
  --deny: light-dark(#a40e26, #ff7b72); --deny-ground: light-dark(#ffe2e0, #4b1516);
  --other: light-dark(#7d4e00, #e3b341); --other-ground: light-dark(#fff1c2, #3d2e08); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.5rem 4rem; color: var(--text);
  background: var(--ground); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; }
h2 { font: 600 1rem/1.5 ui-monospace, monospace; margin: 2.5rem 0 .5rem; }
p { color: var(--quiet); margin: 0 0 1rem; }
.change { border: 1px solid var(--line); border-radius: 6px; margin: 0 0 1rem; overflow: hidden; }
.sides { display: grid; grid-template-columns: 1fr 1fr; }
.side { padding: .6rem 1rem; } .side + .side { border-left: 1px solid var(--line); }
.side small { color: var(--quiet); display: block; }
.allow { background: var(--allow-ground); } .allow b { color: var(--allow); }
.deny { background: var(--deny-ground); } .deny b { color: var(--deny); }
.refused, .mistake { background: var(--other-ground); }
.refused b, .mistake b { color: var(--other); }
pre { margin: 0; padding: .75rem 1rem; overflow-x: auto; font: 13px/1.65 ui-monospace, monospace;
  border-top: 1px solid var(--line); background: var(--panel); }
.remark { padding: .4rem 1rem; border-top: 1px solid var(--line); color: var(--quiet); margin: 0; }
"""


def difference_html(report: Report) -> str:
    """Return the page."""
    body = "".join(map(_plan, report.plans))
    listed = "".join(f"<li>{_structural(one)}</li>\n" for one in report.structure)
    declared = f"<h2>Declarations and rules</h2>\n<ul>\n{listed}</ul>\n" if listed else ""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>Policies: {_text(report.summary)}</title>\n"
        f"<style>{_STYLE}</style>\n</head>\n<body>\n"
        f"<h1>{_text(report.summary)}</h1>\n"
        f"<p>From {_text(report.old)} to {_text(report.new)}: proven for all tokens and requests; "
        f"holds for {_text(report.configuration)}.</p>\n"
        f"{body}{declared}</body>\n</html>\n"
    )


def _structural(one: StructuralChange) -> str:
    lines = "\n".join(one.lines)
    return _text(one.sentence) + (f"<pre>{_text(lines)}</pre>" if lines else "")


def _plan(plan: PlanChanges) -> str:
    title = f"<h2>{_text(plan.action)} on {_text(plan.resource)} ({_text(plan.api)})</h2>\n"
    undecided = "<p>Undecided: the solver gave up.</p>\n" if plan.undecided else ""
    return title + undecided + "".join(map(_change, plan.changes))


def _change(change: Change) -> str:
    statements = "\n".join(change.statements)
    return (
        '<div class="change"><div class="sides">'
        f"{_side('before', change.before, change.rules_before)}"
        f"{_side('now', change.after, change.rules_after)}</div>\n"
        f"<pre>{_text(statements)}</pre>\n{''.join(_remarks(change))}</div>\n"
    )


def _side(when: str, outcome: str, rules: tuple[str, ...]) -> str:
    by = f" by {', '.join(rules)}" if rules else ""
    said = next(words for known, words in SAID.items() if known == outcome)
    return f'<div class="side {outcome}"><small>{when}</small><b>{said}</b>{_text(by)}</div>'


def _remarks(change: Change) -> Iterator[str]:
    return (f'<p class="remark">{_text(line)}</p>\n' for line in remarks(change))


def _text(text: str) -> str:
    return "\n".join(escape(printable(line)) for line in text.split("\n"))
