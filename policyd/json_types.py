"""The JSON values that packages of several floors hand to each other (RFC 8259, section 3)."""

from __future__ import annotations

#: A JSON value as Python's decoders build it. An object's keys are unique, its order is kept.
Json = None | bool | int | float | str | list["Json"] | dict[str, "Json"]
