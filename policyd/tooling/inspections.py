"""The inspection of a token as text or JSON. Neither holds the token or its signature."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import UTC, datetime

import msgspec

from policyd.diagnostics.terminal import printable
from policyd.tokens.inspection import Inspection
from policyd.tokens.model import Json

_MARKS = {"passed": "ok", "failed": "FAILED", "skipped": "skipped"}
_TIMES = ("exp", "iat", "nbf", "auth_time", "updated_at")


def inspection_text(inspection: Inspection) -> str:
    """Return header, claims, and each step with its verdict."""
    lines = [*_values("header", inspection.header), *_values("claims", inspection.claims)]
    lines.append("steps")
    for step in inspection.steps:
        lines.append(f"  {_MARKS[step.verdict]:<8} {step.name:<10} {step.question}")
        if step.text:
            reason = f"{step.reason}: " if step.reason else ""
            lines.append(f"  {'':<8} {'':<10} {reason}{printable(step.text)}")
    lines.append(f"answer   {_answer(inspection)}")
    return "".join(f"{line}\n" for line in lines)


def _answer(inspection: Inspection) -> str:
    if inspection.token is not None:
        return "the token is valid"
    return inspection.reason or "no step failed, but not every step could run"


def _values(title: str, values: Mapping[str, Json] | None) -> Iterator[str]:
    yield title
    if values is None:
        yield "  cannot be read"
        return
    for name, value in values.items():
        text = msgspec.json.encode(value).decode()
        yield printable(f"  {name}: {text}") + (_moment(value) if name in _TIMES else "")


def _moment(value: Json) -> str:
    if isinstance(value, bool) or not isinstance(value, int | float):
        return ""
    try:
        return f"  ({datetime.fromtimestamp(value, UTC):%Y-%m-%dT%H:%M:%SZ})"
    except (OverflowError, ValueError, OSError):  # a time that no calendar has
        return ""


def inspection_json(inspection: Inspection) -> bytes:
    """Return header, claims, steps and answer as one JSON object."""
    return msgspec.json.encode(
        {
            "valid": inspection.token is not None,
            "reason": inspection.reason,
            "header": inspection.header,
            "claims": inspection.claims,
            "steps": [msgspec.structs.asdict(step) for step in inspection.steps],
        }
    )
