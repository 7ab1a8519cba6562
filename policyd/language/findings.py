"""What has been found so far, at most so many in a file."""

from __future__ import annotations

from collections import Counter

from policyd.diagnostics import Diagnostic, Label, Span
from policyd.language import limits


class Findings:
    """Collects diagnostics. Past the limit of a file, one says that there were more."""

    def __init__(self) -> None:
        self._all: list[Diagnostic] = []
        self._by_file: Counter[str] = Counter()

    def add(self, found: Diagnostic) -> None:
        if found.primary is None:
            self._all.append(found)
            return
        source = found.primary.source
        self._by_file[source.name] += 1
        if self._by_file[source.name] == limits.DIAGNOSTICS_PER_FILE + 1:
            end = len(source.text)
            self._all.append(
                Diagnostic(
                    "P0015",
                    f"more than {limits.DIAGNOSTICS_PER_FILE} errors in this file",
                    Label(source, Span(end, end)),
                    help="correct these first, then check again",
                )
            )
        if not self.full(source.name):
            self._all.append(found)

    def full(self, name: str) -> bool:
        """Whether no more is kept of the file of this name."""
        return self._by_file[name] > limits.DIAGNOSTICS_PER_FILE

    def sorted(self) -> tuple[Diagnostic, ...]:
        return tuple(sorted(self._all, key=lambda found: found.sort_key))
