"""The formats for programs: JSON of our own, and SARIF 2.1.0 (OASIS) for code scanners.

Lines and columns count from 1, columns in code points; an end is the place after the last one.
"""

from __future__ import annotations

from collections.abc import Sequence

from policyd import __version__
from policyd.diagnostics.diagnostic import Diagnostic, Label, Severity
from policyd.diagnostics.json_text import encode_json
from policyd.diagnostics.source import Source, Span
from policyd.json_types import Json

_SARIF_SCHEMA = "https://json.schemastore.org/sarif-2.1.0.json"


def render_json(diagnostics: Sequence[Diagnostic]) -> str:
    """Return one object: `{"diagnostics": […], "errors": N, "warnings": N}`."""
    return _document(json_findings(diagnostics))


def json_findings(diagnostics: Sequence[Diagnostic]) -> dict[str, Json]:
    """Return the findings as JSON values, for a document that holds more than them."""
    errors = sum(found.severity is Severity.ERROR for found in diagnostics)
    return {
        "diagnostics": [_finding(found) for found in diagnostics],
        "errors": errors,
        "warnings": len(diagnostics) - errors,
    }


def _finding(found: Diagnostic) -> dict[str, Json]:
    value: dict[str, Json] = {
        "code": found.code,
        "severity": str(found.severity),
        "headline": found.headline,
        "primary": None if found.primary is None else _label(found.primary),
        "secondary": [_label(label) for label in found.secondary],
        "help": found.help,
        "notes": list(found.remarks),
        "fix": [],
    }
    if found.primary is not None:
        source = found.primary.source
        value["fix"] = [{**_range(source, edit.span), "text": edit.text} for edit in found.fix]
    return value


def _label(label: Label) -> dict[str, Json]:
    place = _range(label.source, label.span)
    return {"file": label.source.name, **place, "message": label.message}


def _range(source: Source, span: Span) -> dict[str, Json]:
    start, end = source.position(span.start), source.position(span.end)
    return {
        "start": {"line": start.line, "column": start.column},
        "end": {"line": end.line, "column": end.column},
    }


def render_sarif(diagnostics: Sequence[Diagnostic]) -> str:
    """Return a SARIF log with one run."""
    rules = sorted({found.code for found in diagnostics})
    driver: dict[str, Json] = {
        "name": "policyd",
        "version": __version__,
        "rules": [{"id": code} for code in rules],
    }
    run: dict[str, Json] = {
        "tool": {"driver": driver},
        "columnKind": "unicodeCodePoints",
        "results": [_sarif_result(found) for found in diagnostics],
    }
    return _document({"$schema": _SARIF_SCHEMA, "version": "2.1.0", "runs": [run]})


def _sarif_result(found: Diagnostic) -> dict[str, Json]:
    said = [
        found.headline,
        *(() if found.help is None else (f"help: {found.help}",)),
        *found.remarks,
    ]
    return {
        "ruleId": found.code,
        "level": str(found.severity),
        "message": {"text": "\n".join(said)},
        "locations": [] if found.primary is None else [_sarif_location(found.primary)],
        "relatedLocations": [_sarif_location(label) for label in found.secondary],
    }


def _sarif_location(label: Label) -> dict[str, Json]:
    start = label.source.position(label.span.start)
    end = label.source.position(label.span.end)
    location: dict[str, Json] = {
        "physicalLocation": {
            "artifactLocation": {"uri": label.source.name},
            "region": {
                "startLine": start.line,
                "startColumn": start.column,
                "endLine": end.line,
                "endColumn": end.column,
            },
        }
    }
    if label.message:
        location["message"] = {"text": label.message}
    return location


def _document(value: dict[str, Json]) -> str:
    return encode_json(value, indent=2).decode() + "\n"
