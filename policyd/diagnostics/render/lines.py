"""The formats of one line a finding: concise, for people and editors, and GitHub annotations."""

from __future__ import annotations

from collections.abc import Sequence

from policyd.diagnostics.diagnostic import Diagnostic, Label
from policyd.diagnostics.terminal import printable
from policyd.diagnostics.visibility import remark


def render_concise(diagnostics: Sequence[Diagnostic]) -> str:
    """Return `file:line:column: error[CODE]: headline` for each finding."""
    return "".join(f"{_place(found.primary)}{_headline(found)}\n" for found in diagnostics)


def _place(label: Label | None) -> str:
    if label is None:
        return ""
    line, column = label.source.position(label.span.start)
    return f"{printable(label.source.name)}:{line}:{column}: "


def _headline(found: Diagnostic) -> str:
    cited = remark(found.headline)
    said = found.headline if cited is None else f"{found.headline} ({cited})"
    return f"{found.severity}[{found.code}]: {printable(said)}"


def render_github(diagnostics: Sequence[Diagnostic]) -> str:
    """Return a GitHub workflow command for each finding, which GitHub shows beside the line."""
    return "".join(f"{_annotation(found)}\n" for found in diagnostics)


def _annotation(found: Diagnostic) -> str:
    properties: dict[str, str] = {}
    if found.primary is not None:
        source, (start, end) = found.primary.source, found.primary.span
        first = source.position(start)
        last = source.position(max(start, end - 1))
        properties = {"file": source.name, "line": str(first.line), "endLine": str(last.line)}
        # GitHub takes columns only where the range stays on one line.
        if first.line == last.line:
            properties |= {"col": str(first.column), "endColumn": str(last.column + 1)}
    properties["title"] = found.code
    said = [found.headline]
    if found.primary is not None and found.primary.message:
        said[0] += f": {found.primary.message}"
    if found.help is not None:
        said.append(f"help: {found.help}")
    said += (f"note: {note}" for note in found.remarks)
    place = ",".join(f"{name}={_escape_property(value)}" for name, value in properties.items())
    message = _escape("\n".join(printable(line) for text in said for line in text.split("\n")))
    return f"::{found.severity} {place}::{message}"


def _escape(text: str) -> str:
    return text.replace("%", "%25").replace("\r", "%0D").replace("\n", "%0A")


def _escape_property(text: str) -> str:
    return _escape(text).replace(":", "%3A").replace(",", "%2C")
