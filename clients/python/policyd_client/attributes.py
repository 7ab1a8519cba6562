"""Attributes and context entries to a Struct and back. What JSON lacks is named, never guessed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from datetime import date, datetime
from math import isfinite
from typing import TypeAlias

from google.protobuf.struct_pb2 import NULL_VALUE

from . import messages
from .values import Json, QuestionInvalid

#: The daemon's own bound (`VALUE_INVALID`). A structure that holds itself ends here too.
_DEEPEST = 32
_GREATEST = 2**53 - 1
_JsonValue: TypeAlias = "messages.Value"


def struct_of(values: Mapping[str, Json], what: str, reason: str) -> messages.Struct:
    """Return the Struct of `values`. Raises `QuestionInvalid`, with the name of the attribute.

    `what` is how messages call an entry, such as "attribute"; `reason` is the failure's.
    """
    struct = messages.Struct()
    if not isinstance(values, Mapping):
        raise QuestionInvalid(f"a mapping of {what}s is needed, and no {_kind(values)}", reason)
    for name, value in values.items():
        if not isinstance(name, str):
            raise QuestionInvalid(f"the name of an {what} is a {_kind(name)}: {name!r}", reason)
        try:
            _fill(struct.fields[name], value, "", 1)
        except _Unsupported as found:
            path = f"{name}{found.path}"
            raise QuestionInvalid(f"{what} `{path}` is {found.problem}", reason) from None
    return struct


class _Unsupported(Exception):
    """What is wrong with a value, and the path to it within the attribute."""

    def __init__(self, path: str, problem: str) -> None:
        super().__init__(problem)
        self.path = path
        self.problem = problem


def _fill(target: _JsonValue, value: object, path: str, depth: int) -> None:
    """Write `value` to `target`. Raises `_Unsupported`."""
    if depth > _DEEPEST:
        raise _Unsupported("", f"nested deeper than {_DEEPEST} levels")
    if value is None:
        target.null_value = NULL_VALUE
    elif isinstance(value, bool):
        target.bool_value = value
    elif isinstance(value, int | float):
        target.number_value = _number(value, path)
    elif isinstance(value, str):
        target.string_value = _text(value, path)
    elif isinstance(value, Mapping):
        target.struct_value.Clear()
        for name, inner in value.items():
            if not isinstance(name, str):
                raise _Unsupported(path, f"an object with a {_kind(name)} for a name: {name!r}")
            _fill(target.struct_value.fields[name], inner, f"{path}.{name}", depth + 1)
    elif isinstance(value, Sequence) and not isinstance(value, bytes | bytearray | memoryview):
        target.list_value.Clear()
        for position, inner in enumerate(value):
            _fill(target.list_value.values.add(), inner, f"{path}[{position}]", depth + 1)
    else:
        raise _Unsupported(path, f"a {_kind(value)}, which JSON does not have{_advice(value)}")


def _number(value: float, path: str) -> float:
    if isinstance(value, int) and abs(value) > _GREATEST:
        raise _Unsupported(path, f"{value}, which binary64 does not hold exactly: pass a text")
    if not isfinite(value):
        raise _Unsupported(path, f"{value}, which JSON does not have")
    return float(value)


def _text(value: str, path: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise _Unsupported(path, "a text with half a surrogate pair, which UTF-8 lacks") from None
    return str.__str__(value)  # the text of an enumeration's member, and not its name


def _kind(value: object) -> str:
    return type(value).__qualname__


def _advice(value: object) -> str:
    if isinstance(value, Set):
        return ": pass a list"
    if isinstance(value, datetime):
        return ": pass `value.isoformat()` of one that has a time zone"
    if isinstance(value, date | bytes):
        return ": pass a text"
    return ": pass a text, a number, a truth value, a list or a mapping"


def json_of(value: _JsonValue) -> Json:
    """Return a Value as JSON."""
    kind = value.WhichOneof("kind")
    if kind == "struct_value":
        return {name: json_of(inner) for name, inner in value.struct_value.fields.items()}
    if kind == "list_value":
        return [json_of(inner) for inner in value.list_value.values]
    if kind == "number_value":
        number: float = value.number_value
        return int(number) if number.is_integer() else number
    if kind == "bool_value":
        return bool(value.bool_value)
    return str(value.string_value) if kind == "string_value" else None
