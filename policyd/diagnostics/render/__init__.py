"""Findings as text: one record, many formats.

Input: `Diagnostic` records in any order. Output: text, sorted by file and place, that ends with a
line break, or is empty when there is nothing to say in a format made for people.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from enum import StrEnum

from policyd.diagnostics.diagnostic import Diagnostic, Severity
from policyd.diagnostics.render.full import render_full
from policyd.diagnostics.render.junit import render_junit
from policyd.diagnostics.render.lines import render_concise, render_github
from policyd.diagnostics.render.machine import render_json, render_sarif


class Format(StrEnum):
    FULL = "full"
    CONCISE = "concise"
    JSON = "json"
    GITHUB = "github"
    SARIF = "sarif"
    JUNIT = "junit"


_RENDERERS: dict[Format, Callable[[Sequence[Diagnostic]], str]] = {
    Format.CONCISE: render_concise,
    Format.JSON: render_json,
    Format.GITHUB: render_github,
    Format.SARIF: render_sarif,
    Format.JUNIT: render_junit,
}


def render(
    diagnostics: Sequence[Diagnostic],
    style: Format = Format.FULL,
    *,
    colour: bool = False,
    width: int | None = None,
) -> str:
    """Return the findings in `style`. Only the full format has colours, and breaks prose at `width`
    columns; without it, each sentence stays on one line, for programs that search the text.
    """
    ordered = sorted(diagnostics, key=lambda found: found.sort_key)
    if style is Format.FULL:
        return render_full(ordered, colour=colour, width=width)
    return _RENDERERS[style](ordered)


def first_error(diagnostics: Sequence[Diagnostic]) -> str:
    """Return the first of the errors in one line, with its place and code, and how many more.

    There must be one.
    """
    errors = [found for found in diagnostics if found.severity is Severity.ERROR]
    first, *others = render(errors, Format.CONCISE).splitlines()
    return f"{first} (and {len(others)} more)" if others else first


__all__ = ["Format", "first_error", "render"]
