"""One HTML page: without script, network or second file, light or dark as its reader chooses.

What is said by colour must be said in words too.
"""

from __future__ import annotations

from html import escape

from policyd.diagnostics.terminal import printable

_STYLE = """
:root { color-scheme: light dark;
  --text: light-dark(#1f2328, #e6edf3); --quiet: light-dark(#59636e, #9198a1);
  --ground: light-dark(#ffffff, #0d1117); --panel: light-dark(#f6f8fa, #151b23);
  --line: light-dark(#d1d9e0, #3d444d); --bar: light-dark(#0969da, #58a6ff);
  --allow: light-dark(#116329, #56d364); --allow-ground: light-dark(#dafbe1, #12361f);
  --deny: light-dark(#a40e26, #ff7b72); --deny-ground: light-dark(#ffe2e0, #4b1516);
  --other: light-dark(#7d4e00, #e3b341); --other-ground: light-dark(#fff1c2, #3d2e08); }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 68rem; padding: 2rem 1.5rem 4rem; color: var(--text);
  background: var(--ground); font: 15px/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; margin: 0 0 .25rem; } h2 { font-size: 1.1rem; margin: 2.5rem 0 .75rem; }
p, li { color: var(--quiet); } p { margin: 0 0 1rem; } code { font: 13px ui-monospace, monospace; }
"""


def page(title: str, style: str, body: str) -> str:
    """Return a page; `style` is added to the one that all pages have."""
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{shown(title)}</title>\n"
        f"<style>{_STYLE}{style}</style>\n</head>\n<body>\n{body}</body>\n</html>\n"
    )


def shown(text: str) -> str:
    """Return text for a page, hidden characters made visible."""
    return escape(printable(text))


def picture(series: list[int], label: str) -> str:
    """Draw counts as bars, `label` saying what they are; nothing for a single one."""
    most = max(series, default=0)
    if len(series) < 2 or not most:
        return ""
    bars = "".join(
        f'<rect x="{number}.05" y="{100 - height}" width="0.9" height="{height}">'
        f"<title>{count:,}</title></rect>"
        for number, count in enumerate(series)
        if count and (height := max(3, count * 100 // most))
    )
    return (
        f'<svg class="time" viewBox="0 0 {len(series)} 100" preserveAspectRatio="none" role="img" '
        f'aria-label="{shown(label)}">{bars}</svg>\n'
    )
