"""What answers show of a token and of an explanation, before it is written in a protocol.

A tree of conditions becomes a list with depths: trees may be deeper than protocols let messages
nest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator

import msgspec

from policyd.audit import Mask
from policyd.diagnostics import Source
from policyd.program.trace import Seen, Trace

#: Characters of the scopes that an answer lists.
_SCOPES = 1024


class Step(msgspec.Struct, frozen=True):
    """A part of a condition, and what it came to: `value` is `None` for unknown.

    `depth` says how deep it lies. `condition` names the condition that it refers to, if any.
    """

    depth: int
    text: str
    value: bool | None
    condition: str
    facts: tuple[Seen, ...]


def listed_scopes(scopes: Collection[str]) -> list[str]:
    """Return scopes in order, as many as fit: each answer of a batch repeats them."""
    listed = sorted(scopes)
    left = _SCOPES
    for number, scope in enumerate(listed):
        left -= len(scope)
        if left < 0:
            return listed[:number]
    return listed


def steps(trace: Trace, source: Source, mask: Mask) -> Iterator[Step]:
    """Yield the parts of a condition, in the order of the text."""
    waiting = [(0, trace, False)]
    while waiting:
        depth, part, hidden = waiting.pop()
        text = " ".join(source.text[part.span.start : part.span.end].split())
        if part.kind == "element":
            text = "an element" if hidden else f"element {part.name}"
        elif part.kind == "some":
            hidden = any(mask.covers(seen.fact.path) for seen in part.seen)
        condition = part.name if part.kind == "condition" else ""
        yield Step(depth, text, part.value, condition, tuple(part.seen))
        waiting.extend((depth + 1, inner, hidden) for inner in reversed(part.shown))


def is_masked(seen: Seen, mask: Mask) -> bool:
    """Tell whether the configuration withholds the value of a fact."""
    return seen.state != "missing" and mask.covers(seen.owner.path)
