"""Traces of conditions: the interpreter makes them, explanations show them.

A named condition (`define`) is traced once for each question. The traces of rules refer to it by
name, so that a trace is never larger than the policy text that it explains.
"""

from __future__ import annotations

from typing import Final
from typing import Literal as OneOf

import msgspec

from policyd.diagnostics.source import Source, Span
from policyd.json_types import Json
from policyd.language.policy import Rule
from policyd.language.types import Fact


class Seen(msgspec.Struct, frozen=True):
    """A fact as a test met it. `value` is the JSON value, `None` when it is missing.

    `obstacle` says what stood in the way of a claim's pointer, such as `/realm_access is an array`;
    the claim is ill-typed then, and has no value. `of` is the list, of a field of an element.
    """

    fact: Fact
    state: OneOf["known", "missing", "ill-typed"]
    value: Json
    obstacle: str = ""
    of: Fact | None = None

    @property
    def owner(self) -> Fact:
        """The fact whose value this is a part of, perhaps all of it: what a mask names."""
        return self.of or self.fact


#: How many elements of a list are shown.
_SHOWN: Final = 8


class Trace(msgspec.Struct, frozen=True):
    """A part of a condition: its text, and what it came to; `None` is unknown.

    `kind` is `condition` for a named condition, whose own trace stands beside, under `name`, and
    whose `span` lies in its own source; and `test` for what has no parts. `some` is a `has some`:
    its parts are its elements, each of which has one part, the condition as it is of that element,
    and a `name`: its number in the value as it was given, from 1, or its key. `seen` are the facts
    that a test read.
    """

    kind: OneOf["and", "or", "not", "condition", "test", "some", "element"]
    span: Span
    value: bool | None
    parts: tuple[Trace, ...] = ()
    name: str = ""
    seen: tuple[Seen, ...] = ()

    @property
    def shown(self) -> tuple[Trace, ...]:
        """The parts that say why; of the elements of a list the first that it has its value from.

        So one that is true is found among many that are not.
        """
        if self.kind != "some":
            return self.parts
        return tuple(part for part in self.parts if part.value is self.value)[:_SHOWN]


class RuleTrace(msgspec.Struct, frozen=True):
    """A rule that was looked at. Spans of `trace` lie in `rule.source`.

    `applies` is whether an allow is true, or a deny is not false.
    """

    rule: Rule
    value: bool | None
    applies: bool
    trace: Trace


class ConditionTrace(msgspec.Struct, frozen=True):
    """A named condition. Spans of `trace` lie in `source`."""

    name: str
    source: Source
    value: bool | None
    trace: Trace


class Traces(msgspec.Struct, frozen=True):
    """All rules looked at, by name, and the named conditions that they use, by name."""

    rules: tuple[RuleTrace, ...]
    conditions: tuple[ConditionTrace, ...]
