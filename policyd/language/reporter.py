"""Says what is wrong in one file: the only way from a stage of the language to a `Diagnostic`.

What concerns two files is made by hand, as a `Diagnostic` with a label for each.
"""

from __future__ import annotations

import re
from collections.abc import Callable

from policyd.diagnostics import Diagnostic, Edit, Label, Source, Span

#: Names that are written alike in quotes and without.
_PLAIN = re.compile(r"[A-Za-z_][A-Za-z0-9_:.-]*")

Report = Callable[[Diagnostic], None]


class Reporter:
    """Reports what stands at spans of `source`."""

    __slots__ = ("_report", "source")

    def __init__(self, source: Source, report: Report) -> None:
        self.source = source
        self._report = report

    def error(
        self, code: str, headline: str, span: Span, *, label: str = "",
        secondary: tuple[Label, ...] = (), help: str | None = None, fix: tuple[Edit, ...] = (),
    ) -> None:  # fmt: skip
        """Report one finding; `label` stands beside the marked text."""
        primary = self.label(span, label)
        self.add(Diagnostic(code, headline, primary, secondary, help=help, fix=fix))

    def add(self, found: Diagnostic) -> None:
        """Report a finding that is made already."""
        self._report(found)

    def label(self, span: Span, message: str = "") -> Label:
        return Label(self.source, span, message)


def renamed(label: Label, name: str, near: str | None) -> tuple[Edit, ...]:
    """Return the edit that puts `near` in the place of `name`, which the label marks.

    There is none where `near` would have to be written in another way, such as in quotes.
    """
    source, (start, end) = label.source, label.span
    at = source.text[start:end].rfind(name)
    if near is None or at < 0 or not _PLAIN.fullmatch(near):
        return ()
    return (Edit(Span(start + at, start + at + len(name)), near),)


def similar(kind: str, near: str | None, otherwise: str | None = None) -> str | None:
    """Return the help for a name that nothing has: the one that was meant, if there is one."""
    return otherwise if near is None else f"a similar {kind} exists: `{near}`"
