"""Findings, with paths that their reader can open."""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from policyd.diagnostics.diagnostic import Diagnostic, Label
from policyd.diagnostics.source import Source


def below(folder: str, found: Iterable[Diagnostic]) -> tuple[Diagnostic, ...]:
    """Return findings whose files have names relative to `folder`, with it before each name."""
    named: dict[str, Source] = {}

    def moved(label: Label) -> Label:
        name = label.source.name
        if name not in named:
            named[name] = Source(f"{folder.rstrip('/')}/{name}", label.source.text)
        return msgspec.structs.replace(label, source=named[name])

    return tuple(
        msgspec.structs.replace(
            one,
            primary=None if one.primary is None else moved(one.primary),
            secondary=tuple(map(moved, one.secondary)),
        )
        for one in found
    )
