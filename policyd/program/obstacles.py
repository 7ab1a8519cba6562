"""What stands in the way of a pointer: something else than an object, where it leads through."""

from __future__ import annotations

from collections.abc import Mapping

from policyd.json_types import Json

_KINDS = {
    str: "a text", bool: "a boolean", int: "a number", float: "a number", list: "an array",
}  # fmt: skip


def obstacle(payload: Mapping[str, Json], path: tuple[str, ...]) -> str:
    """Say where the way ends and what is there, as in `/realm_access is an array`.

    Empty where nothing stands in the way.
    """
    found: Json = dict(payload)
    for number, name in enumerate(path):
        if not isinstance(found, dict):
            way = "".join("/" + _escaped(step) for step in path[:number])
            return "" if found is None else f"{way} is {_KINDS[type(found)]}"
        found = found.get(name)
    return ""


def _escaped(step: str) -> str:
    """Write a name as a step of a JSON Pointer (RFC 6901, section 3)."""
    return step.replace("~", "~0").replace("/", "~1")
