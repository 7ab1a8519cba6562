"""The record of one finding. Renderers turn it into text, JSON or a CI system's format."""

from __future__ import annotations

from collections.abc import Iterable
from enum import StrEnum

import msgspec

from policyd.diagnostics.source import Source, Span
from policyd.diagnostics.visibility import remark


class Severity(StrEnum):
    ERROR = "error"
    WARNING = "warning"


class Label(msgspec.Struct, frozen=True):
    """A range of a source, with a short text about it (may be empty)."""

    source: Source
    span: Span
    message: str = ""


class Edit(msgspec.Struct, frozen=True):
    """A replacement of `span` in the primary source by `text`."""

    span: Span
    text: str


class Diagnostic(msgspec.Struct, frozen=True):
    """One finding about a text.

    `headline` is lower case without a full stop, with names in back-ticks. `primary` is the place
    to correct; `None` only if a finding is about a set of files and no place in them. `fix` is
    present only if the repair is certain.
    """

    code: str
    headline: str
    primary: Label | None
    secondary: tuple[Label, ...] = ()
    help: str | None = None
    notes: tuple[str, ...] = ()
    fix: tuple[Edit, ...] = ()
    severity: Severity = Severity.ERROR

    @property
    def remarks(self) -> tuple[str, ...]:
        """The notes, and the names of the non-ASCII characters that the headline cites."""
        cited = remark(self.headline)
        return self.notes if cited is None else (*self.notes, cited)

    @property
    def sort_key(self) -> tuple[str, int, int, str, str]:
        if self.primary is None:
            return ("", 0, 0, self.code, self.headline)
        span = self.primary.span
        return (self.primary.source.name, span.start, span.end, self.code, self.headline)


def has_errors(diagnostics: Iterable[Diagnostic]) -> bool:
    """Tell whether any finding is an error."""
    return any(found.severity is Severity.ERROR for found in diagnostics)
