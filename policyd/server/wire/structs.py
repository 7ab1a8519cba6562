"""Structs of google.protobuf to JSON values.

Input: the bytes of Structs, as `view` leaves them. Output: mappings of JSON values. What the bytes
of short ones hold is remembered.

Invariants: the values of one message are bounded together, and how deep they are nested. The time
is linear in the bytes, and the path of a value is spelled where something is wrong with it, and
nowhere else. A `Value` without a kind, or with a number that JSON does not have, is not a JSON
value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.struct_pb2 import ListValue, Struct, Value

from policyd.json_types import Json
from policyd.pdp.calls import CallFailed, StatusCode
from policyd.pdp.failures import ErrorReason
from policyd.server.wire.failures import field_failure
from policyd.server.wire.limits import has_more_values

#: How deep values may be nested, as in tokens. Protobuf by itself reads some 33 objects, or 50
#: lists, in each other.
DEEPEST: Final = 32
#: In how many pieces a Struct may come.
MOST_PARTS: Final = 64
#: Bytes that are read without a look at how many values they hold: protobuf takes some 2 ms.
_SURELY_FEW: Final = 64 * 1024
_LONGEST_PATH: Final = 200
_INFINITE: Final = (float("inf"), float("-inf"))

#: What the bytes of a Struct hold, for those seen lately.
_structs: dict[bytes, dict[str, Json]] = {}
_STRUCTS_KEPT: Final = 2048
_LONGEST_KEPT: Final = 256


_NOTHING: Final[Mapping[str, Json]] = {}


def recalled(parts: Sequence[bytes]) -> Mapping[str, Json] | None:
    """Return what a Struct holds whose bytes were seen lately, `None` where it has to be read.

    The same bytes may give the same object, which is not to be changed.
    """
    if len(parts) == 1:
        return _structs.get(parts[0])
    return None if parts else _NOTHING


class _NoJson(Exception):
    """A value is no JSON value. `steps` lead to it, the innermost first."""

    def __init__(self, description: str) -> None:
        super().__init__(description)
        self.description = description
        self.steps: list[str] = []


class _TooMany(Exception):
    """A message holds more values than it may."""


class Structs:
    """Reads the Structs of one message, which hold `values` together at most.

    `at` is where the question stands in its message, such as `request.`. Raises `CallFailed` where
    values are not as they should be, and DecodeError for bytes that are no Struct.
    """

    __slots__ = ("_at", "_left", "_most")

    def __init__(self, values: int, at: str = "") -> None:
        self._left = self._most = values
        self._at = at

    def read(self, parts: Sequence[bytes], path: str) -> Mapping[str, Json]:
        """Read a Struct that stands at `path`, in the pieces that it came in."""
        known = recalled(parts)
        if known is not None:
            return known
        if len(parts) > MOST_PARTS:
            what = f"comes in {len(parts)} pieces, at most {MOST_PARTS} are put together"
            raise field_failure(self._at + path, what, ErrorReason.VALUE_INVALID)
        data = b"".join(parts)
        if len(data) > _SURELY_FEW and has_more_values(data, self._left):
            raise self._too_many(path)
        try:
            values = self._object(Struct.FromString(data), DEEPEST)
        except _TooMany:
            raise self._too_many(path) from None
        except _NoJson as fault:
            raise field_failure(
                _path(self._at + path, fault.steps), fault.description, ErrorReason.VALUE_INVALID
            ) from None
        if len(data) <= _LONGEST_KEPT:
            # Each step is atomic, so threads may do this at the same time.
            if len(_structs) >= _STRUCTS_KEPT:
                _structs.clear()
            _structs[data] = values
        return values

    def _too_many(self, path: str) -> CallFailed:
        return field_failure(
            self._at + path,
            f"properties and context of one message hold at most {self._most} values together, "
            "those in lists and objects counted; here are more",
            ErrorReason.TOO_MANY_VALUES,
            StatusCode.RESOURCE_EXHAUSTED,
        )

    def _object(self, struct: Struct, deepest: int) -> dict[str, Json]:
        if deepest == 0:
            raise _NoJson(f"is nested deeper than {DEEPEST} levels")
        values: dict[str, Json] = {}
        name = ""
        try:
            for name, value in struct.fields.items():
                values[name] = self._json(value, deepest)
        except _NoJson as fault:
            fault.steps.append(name)
            raise
        return values

    def _list(self, message: ListValue, deepest: int) -> list[Json]:
        if deepest == 0:
            raise _NoJson(f"is nested deeper than {DEEPEST} levels")
        values: list[Json] = []
        try:
            for entry in message.values:
                values.append(self._json(entry, deepest))
        except _NoJson as fault:
            fault.steps.append(str(len(values)))
            raise
        return values

    def _json(self, value: Value, deepest: int) -> Json:
        if self._left == 0:
            raise _TooMany
        self._left -= 1
        kind = value.WhichOneof("kind")
        if kind == "string_value":
            return value.string_value
        if kind == "bool_value":
            return value.bool_value
        if kind == "number_value":
            number = value.number_value
            if number != number or number in _INFINITE:
                raise _NoJson("NaN and infinite numbers are no JSON values")
            return number
        if kind == "null_value":
            return None
        if kind == "list_value":
            return self._list(value.list_value, deepest - 1)
        if kind == "struct_value":
            return self._object(value.struct_value, deepest - 1)
        raise _NoJson("a Value without a kind is no JSON value")


def _path(outer: str, steps: Sequence[str]) -> str:
    """Spell a path of names that callers chose: it must fit in a header."""
    names = [outer, *(name[:_LONGEST_PATH] for name in reversed(steps))]
    path = ".".join(names)
    return path if len(path) <= _LONGEST_PATH else path[:_LONGEST_PATH] + "…"
