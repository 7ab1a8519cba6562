"""What `explain` answers, as plain values; each field is that of `proto/`'s explanation."""

from __future__ import annotations

from dataclasses import dataclass

from .values import Answer, Json


@dataclass(frozen=True)
class SeenFact:
    """A fact as a condition met it. `state` is `known`, `missing` or `ill-typed`.

    `value` is `None` where there is none, and where the configuration withholds it (`masked`).
    """

    path: str
    state: str
    value: Json
    masked: bool


@dataclass(frozen=True)
class TraceStep:
    """A part of a condition, and what it came to: `value` is `None` for unknown.

    Parts follow the text; `depth` says how deep one lies. `condition` names the condition that the
    part refers to, if any.
    """

    depth: int
    text: str
    value: bool | None
    condition: str
    facts: tuple[SeenFact, ...]


@dataclass(frozen=True)
class ExplainedRule:
    """One rule that was looked at. `effect` is `allow` or `deny`."""

    rule: str
    effect: str
    applies: bool
    value: bool | None
    steps: tuple[TraceStep, ...]
    file: str
    line: int


@dataclass(frozen=True)
class ExplainedCondition:
    """One named condition that a rule used."""

    condition: str
    value: bool | None
    steps: tuple[TraceStep, ...]
    file: str
    line: int


@dataclass(frozen=True)
class StepUp:
    """The login that would do: one of `acr_values`, at most `max_age_seconds` ago (RFC 9470)."""

    acr_values: tuple[str, ...]
    max_age_seconds: int | None


@dataclass(frozen=True)
class Explanation:
    """A decision, and how it came about. See `ExplainResponse` for what each field means."""

    answer: Answer
    rules: tuple[ExplainedRule, ...]
    conditions: tuple[ExplainedCondition, ...]
    ignored_attributes: tuple[str, ...]
    ignored_context: tuple[str, ...]
    missing_scope_alternatives: tuple[tuple[str, ...], ...]
    alternatives_truncated: bool
    step_up: StepUp | None
    detail: str
