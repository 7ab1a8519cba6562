"""The certain repairs that findings bring along, as an editor offers them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import msgspec

from policyd.diagnostics import Diagnostic, Edit, Span

#: A title shows no more of a text.
_SHOWN = 40


class Fix(msgspec.Struct, frozen=True):
    """A repair of one finding."""

    title: str
    finding: Diagnostic
    edits: tuple[Edit, ...]


def fixes(findings: Iterable[Diagnostic], name: str, span: Span) -> Iterator[Fix]:
    """Yield the repairs of what was found in a range of a file."""
    for finding in findings:
        primary = finding.primary
        if not finding.fix or primary is None or primary.source.name != name:
            continue
        if primary.span.start <= span.end and span.start <= primary.span.end:
            yield Fix(_title(finding), finding, finding.fix)


def all_fixes(findings: Iterable[Diagnostic], name: str) -> tuple[Edit, ...]:
    """Return all repairs of a file that do not meet each other, the first of those that do."""
    found: list[Edit] = []
    end = -1
    for fix in sorted(
        fixes(findings, name, Span(0, 2**63)), key=lambda one: [edit.span for edit in one.edits]
    ):
        edits = sorted(fix.edits, key=lambda one: one.span)
        if edits[0].span.start > end:
            found += edits
            end = edits[-1].span.end
    return tuple(found)


def _title(finding: Diagnostic) -> str:
    if len(finding.fix) > 1:
        return f"Mend: {finding.headline}"
    edit = finding.fix[0]
    assert finding.primary is not None  # only a finding at a place has a fix
    old = finding.primary.source.text[edit.span.start : edit.span.end]
    if not edit.text.strip():
        return f"Remove `{_cut(old)}`" if old.strip() else f"Mend: {finding.headline}"
    return f"Replace by `{_cut(edit.text)}`" if old.strip() else f"Insert `{_cut(edit.text)}`"


def _cut(text: str) -> str:
    text = " ".join(text.split())
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"
