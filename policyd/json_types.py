"""The JSON values that packages of several floors hand to each other (RFC 8259, section 3)."""

from __future__ import annotations

#: A JSON value as Python's decoders build it. An object's keys are unique, its order is kept.
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]


def put(values: dict[str, Json], path: tuple[str, ...], value: Json) -> None:
    """Place a value at a path; objects on the way are made as needed.

    Where something other than an object stands in the way, nothing is placed.
    """
    *way, last = path
    for name in way:
        below = values.setdefault(name, {})
        if not isinstance(below, dict):
            return
        values = below
    values[last] = value
